//! Chunks, and who removes them when.

use super::*;

async fn a_streamed_blob_reads_back_chunk_by_chunk(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    let blob = rig.store.new_blob().await.expect("a blob");
    let chunks = [Bytes::from(vec![1; CHUNK_BYTES]), Bytes::from(vec![2; 10])];
    for (number, chunk) in (0..).zip(&chunks) {
        rig.store.put_chunk(blob, number, chunk.clone()).await.expect("stored");
    }
    let size = CHUNK_BYTES as u64 + 10;
    let record =
        ArchiveRecord { piece: Piece::Whole, blob: Some(blob), size, sha256: Some([1; 32]), index: Box::default() };
    rig.store.apply(vec![Change::Archive { key: JOB, record, bytes: None }]).await.expect("published");
    assert_eq!(rig.store.chunk(blob, 0).await.expect("read").as_ref(), Some(&chunks[0]));
    assert_eq!(rig.store.chunk(blob, 1).await.expect("read").as_ref(), Some(&chunks[1]));
    assert_eq!(rig.store.chunk(blob, 2).await.expect("read"), None);
    rig.store.drop_blob(blob).await.expect("a published blob is left alone");
    assert!(rig.store.chunk(blob, 0).await.expect("read").is_some());
    let late = rig.store.put_chunk(blob, 2, Bytes::from_static(b"late")).await.expect_err("published");
    assert!(matches!(late.kind, Kind::FenceLost));
}

async fn bytes_that_travel_with_the_change_are_cut_into_chunks(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    rig.store.apply(vec![publish(Piece::Whole, 2 * CHUNK_BYTES + 1)]).await.expect("stored");
    let blob = rig.log().await.blob.expect("a blob");
    let mut sizes = Vec::new();
    for number in 0..4 {
        sizes.push(rig.store.chunk(blob, number).await.expect("read").map_or(0, |chunk| chunk.len()));
    }
    assert_eq!(sizes, [CHUNK_BYTES, CHUNK_BYTES, 1, 0]);
}

async fn a_dropped_blob_is_gone_and_its_space_comes_back(engine: Engine) {
    let rig = Rig::new(engine).await;
    let blob = rig.store.new_blob().await.expect("a blob");
    for number in 0..40 {
        rig.store.put_chunk(blob, number, Bytes::from(vec![7; CHUNK_BYTES])).await.expect("stored");
    }
    rig.store.drop_blob(blob).await.expect("dropped");
    assert_eq!(rig.behind.chunks().await, 0);
    assert_eq!(rig.behind.blobs().await, 0);
    rig.store.sweep_blobs().await.expect("swept");
    rig.store.close().await.expect("closed");
    if engine == Engine::Sqlite {
        let bytes = std::fs::metadata(rig.directory.path().join("store.db")).expect("the file").len();
        assert!(bytes < 2 << 20, "{bytes} bytes");
    }
}

async fn only_the_blobs_of_a_process_that_is_gone_are_swept(engine: Engine) {
    let rig = Rig::new(engine).await;
    let other = rig.open(Duration::from_secs(30)).await;
    let kept = other.new_blob().await.expect("a blob");
    other.put_chunk(kept, 0, Bytes::from_static(b"kept")).await.expect("stored");
    assert_eq!(rig.store.sweep_blobs().await.expect("swept"), 0);
    assert!(rig.store.chunk(kept, 0).await.expect("read").is_some());

    // As after two leases of silence.
    rig.behind.silence(false).await;
    assert_eq!(rig.store.sweep_blobs().await.expect("swept"), 0);
    rig.behind.silence(true).await;
    assert_eq!(rig.store.sweep_blobs().await.expect("swept"), 1);
    let late = other.put_chunk(kept, 1, Bytes::from_static(b"late")).await.expect_err("swept");
    assert!(matches!(late.kind, Kind::FenceLost));
    assert_eq!(rig.behind.chunks().await, 0);
}

async fn a_replaced_blob_stays_for_its_readers(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    rig.store.apply(vec![publish(Piece::Live, 5)]).await.expect("stored");
    let old = rig.log().await.blob.expect("a blob");
    rig.store.apply(vec![publish(Piece::Live, 6)]).await.expect("stored");
    assert_eq!(rig.store.sweep_blobs().await.expect("swept"), 0);
    assert!(rig.store.chunk(old, 0).await.expect("read").is_some());
    rig.behind.age_replaced_blobs().await;
    assert_eq!(rig.store.sweep_blobs().await.expect("swept"), 1);
}

async fn a_publication_that_names_a_swept_blob_is_refused_with_everything_beside_it(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    let record = LogRecord { piece: Piece::Whole, blob: Some(BlobId(99)), size: 4, ..LogRecord::missing() };
    let changes = vec![Change::Mark(PROJECT), Change::Log { key: JOB, record, bytes: None }];
    let error = rig.store.apply(changes).await.expect_err("refused");
    assert!(matches!(error.kind, Kind::FenceLost));
    assert_eq!(rig.store.marks().await.expect("read"), []);
}

on_both! {
    a_streamed_blob_reads_back_chunk_by_chunk;
    bytes_that_travel_with_the_change_are_cut_into_chunks;
    a_dropped_blob_is_gone_and_its_space_comes_back;
    only_the_blobs_of_a_process_that_is_gone_are_swept;
    a_replaced_blob_stays_for_its_readers;
    a_publication_that_names_a_swept_blob_is_refused_with_everything_beside_it;
}
