"""The same job as `cistern backfill` by another design, for comparison: asyncio.gather with nested semaphores
(5 projects, 10 pipelines, batches of 20 jobs, 20 API calls, 50 DB operations), each job's log, tests and
artifacts fetched in parallel and stored in MongoDB. `--sequential` sets all to 1.

usage: parallel.py GITLAB TOKEN MONGODB_URI [--sequential]
"""
import asyncio, sys, time
import aiohttp, gridfs
from pymongo import AsyncMongoClient

gitlab, token, uri = sys.argv[1:4]
seq = "--sequential" in sys.argv
API, DB, PROJECTS, PIPELINES, BATCH = (1, 1, 1, 1, 1) if seq else (20, 50, 5, 10, 20)
api, dbs = asyncio.Semaphore(API), asyncio.Semaphore(DB)


async def get(s, path, kind="json", **params):
    async with api:
        async with s.get(f"{gitlab}/api/v4{path}", params=params) as r:
            if r.status == 404:
                return None
            r.raise_for_status()
            return await (r.json() if kind == "json" else r.read())


async def pages(s, path, **params):
    out, page = [], 1
    while True:
        got = await get(s, path, per_page=100, page=page, **params)
        out += got
        if len(got) < 100:
            return out
        page += 1


async def job(s, db, fs, pid, j):
    base = {"project_id": pid, "job_id": j["id"]}

    async def logs():
        t = await get(s, f"/projects/{pid}/jobs/{j['id']}/trace", "raw")
        async with dbs:
            if len(t or b"") < 15_000_000:
                await db.logs.replace_one(base, base | {"log": t}, upsert=True)

    async def tests():
        r = await get(s, f"/projects/{pid}/pipelines/{j['pipeline']['id']}/test_report")
        suites = [x for x in (r or {}).get("test_suites", []) if x["name"] == j["name"]]
        async with dbs:
            await db.tests.replace_one(base, base | {"suites": suites}, upsert=True)

    async def artifacts():
        if not j.get("artifacts_file"):
            return
        a = await get(s, f"/projects/{pid}/jobs/{j['id']}/artifacts", "raw")
        if a is not None:
            async with dbs:
                await fs.upload_from_stream_with_id(f"{pid}/{j['id']}", f"{j['id']}.zip", a)

    await asyncio.gather(logs(), tests(), artifacts(), return_exceptions=True) if not seq else [await f() for f in (logs, tests, artifacts)]


async def pipeline(s, db, fs, pid, p, sem):
    async with sem:
        jobs = await pages(s, f"/projects/{pid}/pipelines/{p['id']}/jobs")
        async with dbs:
            await db.pipelines.replace_one({"_id": p["id"]}, p | {"_id": p["id"]}, upsert=True)
        for i in range(0, len(jobs), BATCH):
            await asyncio.gather(*(job(s, db, fs, pid, j) for j in jobs[i : i + BATCH]), return_exceptions=True)
        return len(jobs)


async def project(s, db, fs, p, sem):
    async with sem:
        pls = await pages(s, f"/projects/{p['id']}/pipelines")
        psem = asyncio.Semaphore(PIPELINES)
        return len(pls), sum(await asyncio.gather(*(pipeline(s, db, fs, p["id"], x, psem) for x in pls)))


async def main():
    client = AsyncMongoClient(uri)
    db = client.get_default_database()
    await client.drop_database(db.name)
    await db.logs.create_index([("project_id", 1), ("job_id", 1)])
    await db.tests.create_index([("project_id", 1), ("job_id", 1)])
    fs = gridfs.AsyncGridFSBucket(db, "artifacts")
    t = time.perf_counter()
    async with aiohttp.ClientSession(headers={"PRIVATE-TOKEN": token}, connector=aiohttp.TCPConnector(limit=100)) as s:
        ps = await pages(s, "/projects", membership="true")
        sem = asyncio.Semaphore(PROJECTS)
        done = await asyncio.gather(*(project(s, db, fs, p, sem) for p in ps))
    dt = time.perf_counter() - t
    print(f"pipelines={sum(d[0] for d in done)} jobs={sum(d[1] for d in done)} seconds={dt:.2f} pipelines_per_s={sum(d[0] for d in done)/dt:.2f}")


asyncio.run(main())
