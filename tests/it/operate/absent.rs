//! A store that nobody made: whoever looks into it is told so, and none is made by looking.

use std::fs;

use super::*;
use crate::rig::Engine;

#[tokio::test(flavor = "multi_thread")]
async fn verbs_about_what_is_stored_say_that_there_is_no_store_and_make_none() {
    let rig = Rig::new(World::new()).on(Engine::Sqlite);
    for arguments in [
        &["stats"][..],
        &["stats", "--output", "json"],
        &["work", "list"],
        &["work", "retry", "--all"],
        &["work", "drop", "--all"],
        &["prune"],
        &["prune", "--dry-run"],
        &["forget", "--project", "7"],
        &["forget", "--project", "7", "--job", "5", "--undo"],
        &["forget", "--list"],
        &["log", "5"],
        &["artifacts", "5"],
    ] {
        let ended = run(&rig, arguments).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{arguments:?}: {ended:?}");
        let says = ended.stderr.contains("cistern.db does not exist: name the store with --store-url");
        assert!(says, "{arguments:?}: {}", ended.stderr);
        let made: Vec<_> = fs::read_dir(rig.directory.path()).expect("a directory").collect();
        assert!(made.is_empty(), "{arguments:?}: {made:?}");
    }
}
