//! Answers that are passed on and whose readers stall.

use super::*;

#[tokio::test]
async fn a_reader_who_stalls_gives_the_permit_back_in_time() {
    let server = Server::start(|_| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n";
        format!("{head}begunSTALL").into_bytes()
    })
    .await;
    let gitlab = server.gitlab();
    let passing = Passing::new(gitlab.clone(), 1000);
    let asked = Passage::new(false, "/x", &[]).expect("fit");
    // One reads nothing more, the other waits for the rest.
    let mut stalled = passing.for_service(&asked).await.expect("an answer");
    assert_eq!(stalled.chunk().await.map(|piece| piece.map(|piece| piece.to_vec())), Ok(Some(b"begun".to_vec())));
    gitlab.end_stalled();
    assert_eq!(gitlab.in_flight(), 1, "it is not late yet");
    while gitlab.in_flight() > 0 {
        tokio::task::yield_now().await;
        gitlab.end_stalled();
    }
    assert_eq!(stalled.chunk().await, Err(NotPassed::Away), "it is no end");
    let mut waiting = passing.for_service(&asked).await.expect("an answer");
    assert!(waiting.chunk().await.is_ok());
    assert_eq!((waiting.chunk().await, gitlab.in_flight()), (Err(NotPassed::Away), 0));
}
