//! Managing webhooks: their list, their changes, their tests and their log (contract, sections 1.3 to 1.7 and 2.1).

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use actix_web::http::Method;
use serde_json::{Value, json};

use super::answer::Answer;
use super::page::Page;
use super::query::Query;
use super::route::{Endpoint, Route};
use super::{Shared, lock};
use crate::demo::fake::documents::array;
use crate::demo::fake::hooks::Delivery;
use crate::demo::fake::options::Options;
use crate::demo::fake::world::{Hook, HookOwner, Logged, World};
use crate::demo::fake::{DateStyle, post};

/// The most entries of a delivery log that a page has.
const LOG_PAGE: usize = 20;

/// When each period of a limit began and how often it was used since, by what it limits.
pub(in crate::demo::fake) type Limits = HashMap<(Endpoint, String), (Instant, u32)>;

/// A request about hooks.
pub(super) struct Asked<'a> {
    pub(super) world: &'a mut World,
    pub(super) options: &'a Options,
    pub(super) limits: &'a Mutex<Limits>,
    pub(super) route: &'a Route,
}

/// What becomes of it.
pub(super) enum Answered {
    Now(Answer),
    /// A delivery has to be sent first.
    Deliver(Parcel),
}

/// A delivery that is to be sent.
pub(in crate::demo::fake) struct Parcel {
    pub(in crate::demo::fake) hook: u64,
    pub(in crate::demo::fake) url: String,
    pub(in crate::demo::fake) trigger: &'static str,
    pub(in crate::demo::fake) delivery: Delivery,
    /// Whether it is one of the log that is sent again.
    again: bool,
}

impl Asked<'_> {
    pub(super) fn answer(self, method: &Method, query: &Query, body: &[u8], token: &str) -> Result<Answered, Answer> {
        let owner = self.owner(method, token)?;
        if self.route.subject.is_some() && self.hook(&owner).is_none() {
            return Err(Answer::not_found());
        }
        match (self.route.endpoint, method.as_str(), self.route.subject) {
            (Endpoint::Hooks, "GET", None) => self.list(&owner, query).map(Answered::Now),
            (Endpoint::Hooks, "GET", Some(_)) => {
                let hook = self.hook(&owner).ok_or_else(Answer::not_found)?;
                Ok(Answered::Now(Answer::json(hook.document(self.options.signs()).to_string())))
            }
            (Endpoint::Hooks, "POST", None) | (Endpoint::Hooks, "PUT", Some(_)) => self.change(owner, body),
            (Endpoint::Hooks, "DELETE", Some(id)) => {
                self.world.hooks.remove(&id);
                Ok(Answered::Now(Answer::new(204, "application/json", "")))
            }
            (Endpoint::HookEvents, "GET", Some(id)) => self.log(id, query).map(Answered::Now),
            (Endpoint::HookTest, "POST", Some(_)) => self.test(&owner),
            (Endpoint::HookResend, "POST", Some(_)) => self.resend(&owner),
            _ => Err(Answer::wrong_method()),
        }
    }

    /// Finds the owner and refuses who may not manage its hooks.
    fn owner(&self, method: &Method, token: &str) -> Result<HookOwner, Answer> {
        let manages = self.options.hooks_token.as_deref() == Some(token);
        if !manages && token != self.options.token {
            return Err(Answer::unauthorized());
        }
        if !manages && method != Method::GET {
            let error = json!({"error": "insufficient_scope", "error_description": "…", "scope": "api"});
            return Err(Answer::new(403, "application/json", error.to_string()));
        }
        let asked = self.route.project.as_deref().unwrap_or_default();
        if self.route.group {
            let inside = format!("{asked}/");
            let exists = self.world.projects.values().any(|project| project.path.starts_with(&inside));
            return match exists && self.options.premium && manages {
                true => Ok(HookOwner::Group(asked.to_owned())),
                false => Err(Answer::not_found()),
            };
        }
        let id = asked.parse().ok();
        let mut projects = self.world.projects.values();
        let project = projects.find(|project| Some(project.id.0) == id || project.path == asked);
        let project = project.ok_or_else(Answer::project_not_found)?;
        let role = if manages { project.hooks_role } else { project.role };
        if role < 40 { Err(Answer::forbidden()) } else { Ok(HookOwner::Project(project.id)) }
    }

    fn hook(&self, owner: &HookOwner) -> Option<&Hook> {
        self.world.hooks.get(&self.route.subject?).filter(|hook| hook.owner == *owner)
    }

    fn list(&self, owner: &HookOwner, query: &Query) -> Result<Answer, Answer> {
        let hooks: Vec<&Hook> = self.world.hooks.values().filter(|hook| hook.owner == *owner).collect();
        let page = Page::of(query)?;
        let signs = self.options.signs();
        let texts: Vec<_> =
            page.rows(&hooks).iter().map(|hook| hook.document(signs).to_string().into_bytes()).collect();
        let answer = Answer::json(array(texts.iter().map(Vec::as_slice)));
        Ok(page.headers(answer, hooks.len(), self.options.count_limit, "", query))
    }

    /// The newest first.
    fn log(&self, hook: u64, query: &Query) -> Result<Answer, Answer> {
        let page = Page::of(query)?;
        if page.size > LOG_PAGE {
            return Err(Answer::bad_parameter("per_page"));
        }
        let entries: Vec<&Logged> = self.world.logged.iter().rev().filter(|logged| logged.hook == hook).collect();
        let texts: Vec<_> =
            page.rows(&entries).iter().map(|logged| logged.document().to_string().into_bytes()).collect();
        let answer = Answer::json(array(texts.iter().map(Vec::as_slice)));
        Ok(page.headers(answer, entries.len(), self.options.count_limit, "", query))
    }

    fn change(self, owner: HookOwner, body: &[u8]) -> Result<Answered, Answer> {
        let wish: Value = serde_json::from_slice(body).map_err(|_| Answer::bad_parameter("body"))?;
        let signs = self.options.signs();
        let (mut hook, made) = match self.hook(&owner) {
            Some(hook) => (hook.clone(), false),
            None => (self.world.new_hook(owner), true),
        };
        if let Some(url) = wish["url"].as_str() {
            if url != hook.url && !made && wish["token"].is_null() {
                hook.token = None;
            }
            url.clone_into(&mut hook.url);
        }
        if !hook.url.starts_with("http") {
            return Err(Answer::message(422, "Invalid url given"));
        }
        let flag = |name: &str, held: &mut bool| *held = wish[name].as_bool().unwrap_or(*held);
        flag("pipeline_events", &mut hook.pipeline_events);
        flag("job_events", &mut hook.job_events);
        flag("push_events", &mut hook.push_events);
        flag("enable_ssl_verification", &mut hook.ssl);
        let text = |name: &str, held: &mut String| {
            if let Some(text) = wish[name].as_str() {
                text.clone_into(held);
            }
        };
        text("name", &mut hook.name);
        text("description", &mut hook.description);
        text("custom_webhook_template", &mut hook.template);
        if let Some(token) = wish["token"].as_str() {
            hook.token = Some(token.to_owned());
        }
        // Below 19.0 it is silently ignored.
        if let Some(token) = wish["signing_token"].as_str().filter(|_| signs) {
            if !token.starts_with("whsec_") {
                return Err(Answer::message(400, "signing_token is invalid"));
            }
            hook.signing_token = Some(token.to_owned());
        }
        let document = hook.document(signs).to_string();
        self.world.hooks.insert(hook.id, hook);
        Ok(Answered::Now(Answer::new(if made { 201 } else { 200 }, "application/json", document)))
    }

    /// Uses the newest pipeline or job of the project, or of any project of the group.
    fn test(self, owner: &HookOwner) -> Result<Answered, Answer> {
        self.admit(self.route.project.clone().unwrap_or_default())?;
        let hook = self.hook(owner).ok_or_else(Answer::not_found)?.clone();
        let inside = |id| match owner {
            HookOwner::Project(project) => *project == id,
            HookOwner::Group(path) => {
                let project = self.world.projects.get(&id);
                project.is_some_and(|project| project.path.starts_with(&format!("{path}/")))
            }
        };
        let (trigger, delivery) = match self.route.file.as_deref() {
            Some("pipeline_events") => {
                let pipeline = self.world.pipelines.values().rfind(|pipeline| inside(pipeline.project));
                let found = pipeline.and_then(|found| Delivery::pipeline(self.world, found.id, DateStyle::Current));
                ("pipeline_hooks", found)
            }
            Some("job_events") => {
                let job = self.world.jobs.values().rfind(|job| inside(job.project));
                ("job_hooks", job.and_then(|job| Delivery::job(self.world, job.id, DateStyle::Current)))
            }
            _ => return Err(Answer::bad_parameter("trigger")),
        };
        let delivery = delivery.ok_or_else(|| Answer::message(422, "Ensure the project has CI pipelines."))?;
        Ok(Answered::Deliver(Parcel::new(&hook, trigger, delivery)))
    }

    fn resend(self, owner: &HookOwner) -> Result<Answered, Answer> {
        let hook = self.hook(owner).ok_or_else(Answer::not_found)?.clone();
        let event = self.route.file.as_deref().and_then(|id| id.parse::<u64>().ok());
        let logged = self.world.logged.iter().find(|logged| Some(logged.id) == event && logged.hook == hook.id);
        let logged = logged.ok_or_else(Answer::not_found)?.clone();
        self.admit(hook.id.to_string())?;
        if logged.url != hook.url {
            return Err(Answer::message(422, "The hook URL has changed. Unable to resend the event."));
        }
        let event = if logged.trigger == "job_hooks" { "Job Hook" } else { "Pipeline Hook" };
        let header = |name: &str| logged.headers.iter().find(|(header, _)| header == name).map(|(_, value)| &**value);
        let id = header("Idempotency-Key").unwrap_or_default();
        let delivery = Delivery::new(event, logged.data.to_string()).with_id(id);
        Ok(Answered::Deliver(Parcel { again: true, ..Parcel::new(&hook, logged.trigger, delivery) }))
    }

    /// Counts a test or a resend against its limit.
    fn admit(&self, of: String) -> Result<(), Answer> {
        let limit = self.options.hook_calls;
        let mut limits = lock(self.limits);
        let (began, used) = limits.entry((self.route.endpoint, of)).or_insert_with(|| (Instant::now(), 0));
        if began.elapsed() >= limit.period {
            (*began, *used) = (Instant::now(), 0);
        }
        *used += 1;
        let left = limit.period.saturating_sub(began.elapsed()).as_secs();
        match *used > limit.requests {
            true => Err(Answer::application_throttled().header("Retry-After", left)),
            false => Ok(()),
        }
    }
}

impl Parcel {
    pub(in crate::demo::fake) fn new(hook: &Hook, trigger: &'static str, delivery: Delivery) -> Self {
        let delivery = match &hook.signing_token {
            Some(token) => delivery.signed_with(token),
            None => delivery.unsigned(),
        };
        let delivery = match &hook.token {
            Some(token) => delivery.with_token(token),
            None => delivery.without_token(),
        };
        Self { hook: hook.id, url: hook.url.clone(), trigger, delivery, again: false }
    }
}

/// Sends a delivery, writes it into the hook's log, and answers as the test or the resend does.
pub(in crate::demo::fake) async fn deliver(shared: &Shared, parcel: Parcel) -> Answer {
    let sent = post::post(&parcel.url, &parcel.delivery).await;
    let (status, answer) = match sent {
        Ok((status, body)) => (status.to_string(), body),
        Err(error) => ("internal error".to_owned(), error.to_string()),
    };
    let good = matches!(status.as_bytes(), [b'2' | b'3', ..]);
    let headers = parcel.delivery.headers().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut world = lock(&shared.world);
    let logged = Logged {
        id: world.logged.last().map_or(1, |last| last.id + 1),
        hook: parcel.hook,
        url: parcel.url,
        trigger: parcel.trigger,
        headers,
        data: serde_json::from_slice(&parcel.delivery.body()).unwrap_or_default(),
        status: status.clone(),
        answer,
    };
    world.logged.push(logged);
    if let Some(hook) = world.hooks.get_mut(&parcel.hook) {
        // One success in a row enables it again.
        hook.failures = if good { 0 } else { hook.failures + 1 };
    }
    let date = super::http_date(world.now());
    let body = match parcel.again {
        true => json!({"response_status": status.parse::<u16>().map_or(json!(status), |code| json!(code))}),
        false => json!({"message": "201 Created"}),
    };
    Answer::new(201, "application/json", body.to_string()).header("Date", date)
}
