// Reads everything that can be read, as users of @gitbeaker/rest do, and prints what it got as JSON.
//
// Usage: node read.mjs URL TOKEN. The same is printed for GitLab and for Cistern.

import { createHash } from 'node:crypto';
import { Gitlab } from '@gitbeaker/rest';

const [host, token] = process.argv.slice(2);
const api = new Gitlab({ host, token });
const PRIVATE = ['permissions', 'runners_token', 'import_url', 'import_status', 'import_error'];

const pick = (document, keep) => Object.fromEntries(Object.entries(document).filter(([key]) => keep(key)).sort());
const digest = (bytes) => [bytes.length, createHash('sha256').update(bytes).digest('hex')];
const ids = (rows) => rows.map((row) => row.id);

// Returns how a call is refused.
async function refusal(call) {
  try {
    await call();
  } catch (error) {
    return [error.cause?.response?.status, String(error.cause?.description)];
  }
  return null;
}

async function readJob(project, job) {
  const archive = job.artifacts_file
    ? digest(Buffer.from(await (await api.JobArtifacts.downloadArchive(project, { jobId: job.id })).arrayBuffer()))
    : null;
  return {
    document: await api.Jobs.show(project, job.id),
    trace: digest(Buffer.from(await api.Jobs.showLog(project, job.id))),
    archive,
  };
}

async function readPipeline(project, id) {
  return {
    document: await api.Pipelines.show(project, id),
    jobs: ids(await api.Jobs.all(project, { pipelineId: id, perPage: 3 })),
    attempts: ids(await api.Jobs.all(project, { pipelineId: id, includeRetried: true })),
    report: await api.Pipelines.showTestReport(project, id),
    summary: await api.Pipelines.showTestReportSummary(project, id),
  };
}

async function readProject(id) {
  const pipelines = await api.Pipelines.all(id, { perPage: 4 });
  const jobs = await api.Jobs.all(id, { pagination: 'keyset', orderBy: 'id', sort: 'desc', perPage: 7 });
  const page = await api.Pipelines.all(id, { perPage: 3, page: 2, showExpanded: true });
  const each = {};
  for (const pipeline of pipelines) each[pipeline.id] = await readPipeline(id, pipeline.id);
  const logs = {};
  for (const job of jobs) logs[job.id] = await readJob(id, job);
  return {
    document: pick(await api.Projects.show(id), (key) => !PRIVATE.includes(key)),
    pipelines,
    paging: page.paginationInfo,
    finished: ids(await api.Pipelines.all(id, { scope: 'finished', orderBy: 'updated_at', sort: 'asc' })),
    jobs: ids(jobs),
    byNumber: ids(await api.Jobs.all(id, { perPage: 7 })),
    failed: ids(await api.Jobs.all(id, { scope: 'failed' })),
    each,
    logs,
    noJob: await refusal(() => api.Jobs.show(id, 1)),
  };
}

const projects = await api.Projects.all({ pagination: 'keyset', orderBy: 'id', sort: 'asc', perPage: 2, simple: true });
const byNumber = await api.Projects.all({ orderBy: 'id', sort: 'desc', perPage: 2, membership: true });
const ofGroup = await api.Groups.allProjects('harbour', { includeSubgroups: true, orderBy: 'id', perPage: 2 });
const each = {};
for (const project of projects) each[project.id] = await readProject(project.id);
const answer = {
  projects,
  byNumber: ids(byNumber),
  ofGroup: ids(ofGroup),
  each,
  noProject: await refusal(() => api.Projects.show(1)),
};
process.stdout.write(JSON.stringify(answer));
