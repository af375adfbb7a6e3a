//! What GitLab refuses: readers see that it does.

mod readers;
