"""Reads everything that can be read, as users of python-gitlab do, and prints what it got as JSON.

Usage: read.py URL TOKEN. The same is printed for GitLab and for Cistern.
"""

import hashlib
import json
import sys

import gitlab

PRIVATE = ["permissions", "runners_token", "import_url", "import_status", "import_error"]


def digest(chunks):
    whole = hashlib.sha256()
    size = 0
    for chunk in chunks:
        whole.update(chunk)
        size += len(chunk)
    return [size, whole.hexdigest()]


def streamed(download):
    """Downloads piece by piece."""
    chunks = []
    download(streamed=True, chunk_size=4096, action=chunks.append)
    return digest(chunks)


def refusal(call):
    """Returns how a call is refused."""
    try:
        call()
    except gitlab.exceptions.GitlabError as error:
        return [error.response_code, str(error.error_message)]
    return None


def project_without_role(project):
    return {key: value for key, value in project.attributes.items() if key not in PRIVATE}


def read_job(project, job_id):
    job = project.jobs.get(job_id)
    found = {
        "document": job.attributes,
        "trace": digest([job.trace()]),
        "streamed": streamed(job.trace),
    }
    if job.attributes.get("artifacts_file"):
        found["artifacts"] = streamed(job.artifacts)
    else:
        found["artifacts"] = refusal(job.artifacts)
    return found


def read_pipeline(project, pipeline_id):
    pipeline = project.pipelines.get(pipeline_id)
    return {
        "document": pipeline.attributes,
        "jobs": [job.id for job in pipeline.jobs.list(iterator=True, per_page=3)],
        "attempts": [job.id for job in pipeline.jobs.list(get_all=True, include_retried=True)],
        "failed": [job.id for job in pipeline.jobs.list(get_all=True, scope=["failed", "canceled"])],
        "report": pipeline.test_report.get().attributes,
        "summary": pipeline.test_report_summary.get().attributes,
    }


def read_project(client, project_id):
    project = client.projects.get(project_id)
    by_number = project.pipelines.list(iterator=True, per_page=4)
    pipelines = [pipeline.attributes for pipeline in by_number]
    middle = pipelines[len(pipelines) // 2]["updated_at"]
    jobs = [job.id for job in project.jobs.list(iterator=True, pagination="keyset", order_by="id", sort="desc", per_page=7)]
    count = project.pipelines.list(iterator=True, per_page=3, page=2)
    return {
        "document": project_without_role(project),
        "by_path": client.projects.get(project.path_with_namespace).id,
        "pipelines": pipelines,
        "totals": [count.total, count.total_pages, count.prev_page, count.next_page, count.current_page, count.per_page],
        "children": [child.id for child in project.pipelines.list(get_all=True, source="parent_pipeline")],
        "finished": [found.id for found in project.pipelines.list(get_all=True, scope="finished")],
        "since": [found.id for found in project.pipelines.list(
            get_all=True, updated_after=middle, order_by="updated_at", sort="asc")],
        "named": [found.id for found in project.pipelines.list(get_all=True, name="Nightly 0", status="success")],
        "latest": project.pipelines.latest(ref="main").attributes,
        "jobs_by_key": jobs,
        "jobs_by_number": [job.id for job in project.jobs.list(iterator=True, per_page=7)],
        "failed_jobs": [job.id for job in project.jobs.list(get_all=True, scope=["failed"])],
        "each_pipeline": {str(found["id"]): read_pipeline(project, found["id"]) for found in pipelines},
        "each_job": {str(job): read_job(project, job) for job in jobs},
        "no_pipeline": refusal(lambda: project.pipelines.get(1)),
        "no_job": refusal(lambda: project.jobs.get(1)),
        "odd_scope": refusal(lambda: project.jobs.list(scope=["nothing"], get_all=False)),
        "odd_date": refusal(lambda: project.pipelines.list(updated_after="yesterday", get_all=False)),
    }


def main():
    url, token = sys.argv[1:]
    client = gitlab.Gitlab(url, private_token=token, keep_base_url=False)
    client.auth()
    assert client.user.username and client.version()[0] != "unknown"
    ids = [found.id for found in client.projects.list(iterator=True, order_by="id", sort="asc", per_page=2)]
    group = client.groups.get("harbour", lazy=True)
    answer = {
        "projects": ids,
        "by_key": [found.id for found in client.projects.list(
            iterator=True, pagination="keyset", order_by="id", sort="desc", per_page=2)],
        "simple": [found.attributes for found in client.projects.list(
            iterator=True, simple=True, membership=True, pagination="keyset", order_by="id", sort="asc", per_page=2)],
        "found": [found.id for found in client.projects.list(get_all=True, search="ledger", archived=False)],
        "of_group": [found.id for found in group.projects.list(
            iterator=True, include_subgroups=True, order_by="id", sort="asc", per_page=2)],
        "each": {str(found): read_project(client, found) for found in ids},
        "no_project": refusal(lambda: client.projects.get(1)),
        "no_group": refusal(lambda: client.groups.get("nowhere", lazy=True).projects.list(get_all=True)),
    }
    json.dump(answer, sys.stdout, sort_keys=True)


main()
