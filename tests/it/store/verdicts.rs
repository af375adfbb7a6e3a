//! What GitLab said about readers.

use cistern::store::{About, Answer, TokenHash, Verdict};

use super::*;

const READER: TokenHash = TokenHash([1; 32]);
const OTHER: TokenHash = TokenHash([2; 32]);
const HOUR: Duration = Duration::from_secs(3600);

fn said(answer: Answer, secs_ago: u64) -> Verdict {
    Verdict { answer, project: None, told: None, age: Duration::from_secs(secs_ago) }
}

async fn answer(store: &Store, token: TokenHash, about: &About) -> Option<Answer> {
    store.verdict(token, about).await.expect("read").map(|verdict| verdict.answer)
}

async fn the_first_key_is_kept_for_all(engine: Engine) {
    let rig = Rig::new(engine).await;
    let other = rig.open(Duration::from_secs(30)).await;
    let (one, two) = tokio::join!(rig.store.access_key([1; 32]), other.access_key([2; 32]));
    let key = one.expect("a key");
    assert_eq!(two.expect("a key"), key);
    assert_eq!(rig.store.access_key([3; 32]).await.expect("a key"), key);
    assert!(key == [1; 32] || key == [2; 32]);
}

async fn a_verdict_is_kept_by_reader_and_question_and_ages(engine: Engine) {
    let rig = Rig::new(engine).await;
    let about = [About::Project(PROJECT), About::Builds(PROJECT), About::Log(JOB), About::Archive(JOB)];
    for (about, answer) in about.iter().zip([Answer::Member, Answer::Granted, Answer::NotFound, Answer::Forbidden]) {
        rig.store.save_verdict(READER, about, said(answer, 100), HOUR).await.expect("kept");
        let kept = rig.store.verdict(READER, about).await.expect("read").expect("kept");
        assert_eq!((kept.answer, kept.project), (answer, None));
        assert!(kept.age >= Duration::from_secs(100) && kept.age < Duration::from_secs(130), "{:?}", kept.age);
        assert_eq!(rig.store.verdict(OTHER, about).await.expect("read"), None);
    }
    let user = r#"{"id":7,"name":"$answer"}"#;
    let whose = Verdict { told: Some(user.into()), ..said(Answer::Granted, 0) };
    rig.store.save_verdict(READER, &About::Token, whose, HOUR).await.expect("kept");
    let kept = rig.store.verdict(READER, &About::Token).await.expect("read").expect("kept");
    assert_eq!(kept.told.as_deref(), Some(user));
    let path = About::Path("group/app".into());
    let leads = Verdict { project: Some(PROJECT), ..said(Answer::Granted, 0) };
    rig.store.save_verdict(READER, &path, leads, HOUR).await.expect("kept");
    let kept = rig.store.verdict(READER, &path).await.expect("read").expect("kept");
    assert_eq!(kept.project, Some(PROJECT));
    assert_eq!(answer(&rig.store, READER, &About::Path("group/ap".into())).await, None);
    let other = rig.open(Duration::from_secs(30)).await;
    assert_eq!(answer(&other, READER, &about[0]).await, Some(Answer::Member), "replicas share it");
}

async fn what_was_asked_later_stays_and_what_is_too_old_is_gone(engine: Engine) {
    let rig = Rig::new(engine).await;
    let about = About::Project(PROJECT);
    rig.store.save_verdict(READER, &about, said(Answer::NotFound, 10), HOUR).await.expect("kept");
    rig.store.save_verdict(READER, &about, said(Answer::Member, 60), HOUR).await.expect("overtaken");
    assert_eq!(answer(&rig.store, READER, &about).await, Some(Answer::NotFound));
    rig.store.save_verdict(READER, &about, said(Answer::Granted, 0), HOUR).await.expect("kept");
    assert_eq!(answer(&rig.store, READER, &about).await, Some(Answer::Granted));
    let whose = Verdict { told: Some("{}".into()), ..said(Answer::Granted, 20) };
    rig.store.save_verdict(READER, &About::Token, whose, HOUR).await.expect("kept");
    rig.store.save_verdict(READER, &About::Token, said(Answer::Unauthorized, 10), HOUR).await.expect("kept");
    let kept = rig.store.verdict(READER, &About::Token).await.expect("read").expect("kept");
    assert_eq!((kept.answer, kept.told), (Answer::Unauthorized, None), "nobody's any more");
    rig.store.save_verdict(OTHER, &about, said(Answer::Member, 60), Duration::from_secs(59)).await.expect("kept");
    assert_eq!(answer(&rig.store, OTHER, &about).await, None);
    assert!(!rig.store.knows_token(OTHER).await.expect("read"));
}

async fn a_refused_token_loses_all_its_verdicts(engine: Engine) {
    let rig = Rig::new(engine).await;
    let about = [About::Project(PROJECT), About::Log(JOB)];
    for (token, about) in [(READER, &about[0]), (READER, &about[1]), (OTHER, &about[1])] {
        rig.store.save_verdict(token, about, said(Answer::Granted, 5), HOUR).await.expect("kept");
    }
    assert!(rig.store.knows_token(READER).await.expect("read"));
    rig.store.save_verdict(READER, &about[0], said(Answer::Unauthorized, 5), HOUR).await.expect("kept");
    assert_eq!(answer(&rig.store, READER, &about[1]).await, Some(Answer::Granted), "of one thing, not of the token");
    rig.store.save_verdict(READER, &About::Token, said(Answer::Unauthorized, 0), HOUR).await.expect("kept");
    assert_eq!(answer(&rig.store, READER, &About::Token).await, Some(Answer::Unauthorized));
    for about in &about {
        assert_eq!(answer(&rig.store, READER, about).await, None);
    }
    assert_eq!(answer(&rig.store, OTHER, &about[1]).await, Some(Answer::Granted));
    assert!(!rig.store.knows_token(READER).await.expect("read"));
    assert!(rig.store.knows_token(OTHER).await.expect("read"));
}

async fn a_clock_that_was_set_back_lengthens_no_verdict(engine: Engine) {
    let rig = Rig::new(engine).await;
    let about = About::Project(PROJECT);
    let log = About::Log(JOB);
    for about in [&about, &log] {
        rig.store.save_verdict(READER, about, said(Answer::Granted, 5), HOUR).await.expect("kept");
    }
    rig.behind.set_verdicts_ahead().await;
    assert_eq!(answer(&rig.store, READER, &about).await, None);
    rig.store.save_verdict(READER, &about, said(Answer::Forbidden, 0), HOUR).await.expect("kept");
    assert_eq!(answer(&rig.store, READER, &about).await, Some(Answer::Forbidden));
    rig.store.save_verdict(READER, &About::Token, said(Answer::Unauthorized, 0), HOUR).await.expect("kept");
    assert!(!rig.store.knows_token(READER).await.expect("read"), "all are gone, those from later on too");
}

on_both! {
    the_first_key_is_kept_for_all;
    a_verdict_is_kept_by_reader_and_question_and_ages;
    what_was_asked_later_stays_and_what_is_too_old_is_gone;
    a_refused_token_loses_all_its_verdicts;
    a_clock_that_was_set_back_lengthens_no_verdict;
}
