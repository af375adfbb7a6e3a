//! Parts of logs and archives are those of the whole, wherever they begin and end.

use cistern::demo::fake::{Archive, ArtifactDelivery, JobSpec, Log, Options, PipelineSpec, World};
use cistern::store::FRAME_BYTES;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{ask, get, job_path};
use crate::rig::Rig;

/// Several frames and chunks, and a last one that is not full.
const LOG_BYTES: usize = 5 * FRAME_BYTES + 12_345;

fn noise() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(3);
    std::iter::repeat_with(|| random.u8(..)).take(900_000).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_part_is_that_of_the_whole() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let spec = JobSpec::new("unit")
        .log(Log::generated(LOG_BYTES, 7, true))
        .archive(Archive::zip([("noise", &noise()[..])]).expect("an archive"));
    let job = world.add_job(pipeline, spec);
    world.finish_job(job, "success");
    world.archive_trace(job);
    let rig = Rig::with(world, Options { artifacts: ArtifactDelivery::Direct, ..Options::default() });
    let serving = rig.serve(super::STORE).await;
    serving.idle().await;
    let address = serving.address();
    for piece in ["trace", "artifacts"] {
        let path = format!("{}/{piece}", job_path(project, job));
        let whole = get(address, &path).await;
        assert_eq!((whole.status, whole.header("accept-ranges")), (200, "bytes"));
        let (size, tag) = (whole.body.len(), whole.header("etag").to_owned());
        assert!(size > 3 * FRAME_BYTES);
        // Anywhere, near the ends of frames, and beyond the end.
        let near = (0..size / FRAME_BYTES + 1, 0..5_usize)
            .prop_map(|(frame, by)| (frame * FRAME_BYTES + by).saturating_sub(2));
        let place = prop_oneof![0..size + 10, near];
        let ranges = (place.clone(), prop_oneof![0..2_usize, 0..size, 0..1000_usize]);
        let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
        let handle = tokio::runtime::Handle::current();
        let judged = tokio::task::block_in_place(|| {
            runner.run(&ranges, |(first, more)| {
                let last = first + more;
                let range = format!("bytes={first}-{last}");
                let headers = [("Range", range.as_str()), ("If-Range", tag.as_str()), ("Accept-Encoding", "zstd")];
                let part = handle.block_on(ask(address, "GET", &path, &headers));
                if first >= size {
                    prop_assert_eq!(part.status, 416);
                    prop_assert_eq!(part.header("content-range"), format!("bytes */{size}"));
                    return Ok(());
                }
                let end = (last + 1).min(size);
                prop_assert_eq!(part.status, 206);
                prop_assert_eq!(part.header("content-range"), format!("bytes {first}-{}/{size}", end - 1));
                prop_assert_eq!(part.header("content-length"), (end - first).to_string());
                prop_assert!(part.body == whole.body[first..end], "bytes {}..{}", first, end);
                Ok(())
            })
        });
        judged.expect("every part");

        let tail = ask(address, "GET", &path, &[("Range", "bytes=-100")]).await;
        assert!(tail.status == 206 && tail.body == whole.body[size - 100..]);
        let head = ask(address, "HEAD", &path, &[("Range", "bytes=0-99")]).await;
        assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, &*size.to_string(), 0));
        for ignored in [("Range", "bytes=0-1,5-6"), ("Range", "lines=1-2")] {
            let answer = ask(address, "GET", &path, &[ignored]).await;
            assert_eq!((answer.status, answer.body.len()), (200, size), "{ignored:?}");
        }
        let other = ask(address, "GET", &path, &[("Range", "bytes=0-1"), ("If-Range", "\"other\"")]).await;
        assert_eq!((other.status, other.body.len()), (200, size), "a part of another version is no use");
    }
    serving.stop().await;
}
