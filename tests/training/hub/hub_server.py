"""A Hugging Face Hub on this machine, as far as pushing and loading go: the real HTTP API, kept in memory.

Read off huggingface_hub's client (2.4): repositories, branches, commits, Git LFS, files, variables of Spaces.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


LFS_SUFFIXES = (".safetensors", ".bin", ".onnx", ".parquet", ".wav", ".flac", ".ogg", ".png")
REPOSITORY = r"(?P<repo>[^/]+/[^/]+)"
KIND = r"/api/(?P<kind>models|datasets|spaces)"
PREFIX = r"(?:/(?P<kind>datasets|spaces))?/"

# name of the call, method, path; `fail` takes the name
ROUTES = [
    ("create", "POST", r"/api/repos/create"),
    ("validate-yaml", "POST", r"/api/validate-yaml"),
    ("preupload", "POST", rf"{KIND}/{REPOSITORY}/preupload/(?P<revision>[^/]+)"),
    ("commit", "POST", rf"{KIND}/{REPOSITORY}/commit/(?P<revision>[^/]+)"),
    ("branch", "POST", rf"{KIND}/{REPOSITORY}/branch/(?P<branch>[^/]+)"),
    ("tree", "GET", rf"{KIND}/{REPOSITORY}/tree/(?P<revision>[^/]+)(?:/(?P<path>.*))?"),
    ("variables", "POST", rf"/api/spaces/{REPOSITORY}/variables"),
    ("info", "GET", rf"{KIND}/{REPOSITORY}(?:/revision/(?P<revision>[^/]+))?"),
    ("lfs-batch", "POST", rf"{PREFIX}{REPOSITORY}\.git/info/lfs/objects/batch"),
    ("lfs-upload", "PUT", r"/storage/(?P<oid>[0-9a-f]{64})"),
    ("resolve", "GET", rf"{PREFIX}{REPOSITORY}/resolve/(?P<revision>[^/]+)/(?P<path>.+)"),
    ("resolve", "HEAD", rf"{PREFIX}{REPOSITORY}/resolve/(?P<revision>[^/]+)/(?P<path>.+)"),
]


@dataclass
class File:
    """A file of a commit."""

    content: bytes
    sha256: str | None = None  # of files kept in LFS
    size: int = 0

    @property
    def oid(self) -> str:
        if self.sha256:
            return self.sha256
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    def listing(self, path: str) -> dict:
        lfs = {"lfs": {"oid": self.sha256, "size": self.size, "pointerSize": 130}} if self.sha256 else {}
        return {"type": "file", "oid": self.oid, "size": self.size, "path": path, **lfs}


@dataclass
class Repository:
    """Commits as whole trees, newest last; branches point to them."""

    private: bool
    sdk: str | None = None
    trees: dict[str, dict[str, File]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)  # of a Space
    gated: bool = False

    def commit(self, branch: str, tree: dict[str, File], message: str) -> str:
        content = [len(self.trees), message, {path: file.oid for path, file in tree.items()}]
        sha = hashlib.sha1(json.dumps(content).encode()).hexdigest()
        self.trees[sha], self.branches[branch] = tree, sha
        self.messages.append(message)
        return sha

    def sha(self, revision: str | None) -> str | None:
        sha = self.branches.get(unquote(revision or "main"), revision)
        return sha if sha in self.trees else None

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Content by path."""
        return {path: file.content for path, file in self.trees[self.sha(revision)].items()}


class Answer(Exception):
    """Ends a call early."""

    def __init__(self, status: int, message: str, code: str | None = None):
        super().__init__(status, message)
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self.status, self.body, self.headers = status, {"error": message}, headers


class HubServer:
    """The server; `with HubServer() as hub:` starts and ends it. `calls` has name and path of all that was asked."""

    def __init__(self):
        self.tokens = {"hf_alice": ("alice", "write"), "hf_reader": ("alice", "read"), "hf_bob": ("bob", "write")}
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.stored: dict[str, bytes] = {}
        self.calls: list[tuple[str, str]] = []
        self.faults: list[dict] = []
        self.lock, self.closing = threading.RLock(), threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exception) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def fail(self, name, status=None, drop=None, hang_s=0.0, headers=None, body=None, times=1) -> None:
        """Let the next calls of this name in `ROUTES` go wrong; `drop` is `before` any answer, or in its `middle`."""
        assert name in {route for route, _, _ in ROUTES}
        fault = {"status": status, "drop": drop, "hang_s": hang_s, "headers": headers or {}, "body": body or {}}
        self.faults += [{"name": name, **fault}] * times

    def fault(self, name: str) -> dict | None:
        """Return the fault that meets this call."""
        with self.lock:
            found = next((index for index, fault in enumerate(self.faults) if fault["name"] == name), None)
            return None if found is None else self.faults.pop(found)

    def asked(self, name: str) -> int:
        """How many calls of that name there were."""
        return sum(called == name for called, _ in self.calls)

    def model(self, repo_id: str) -> Repository:
        """A model repository."""
        return self.repositories["models", repo_id]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one piece: else each answer waits for a delayed acknowledgement
    disable_nagle_algorithm = True
    hub: HubServer

    def log_message(self, *arguments) -> None:
        """Nothing: `calls` is the log."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = ((name, re.fullmatch(pattern, path)) for name, method, pattern in ROUTES if method == self.command)
        name, match = next(((name, match) for name, match in found if match), (None, None))
        if match is None:
            return self._send(404, {"error": f"no {self.command} {path} here"})
        self.hub.calls.append((name, self.path))
        fault = self.hub.fault(name)
        self.dropping = fault["drop"] if fault else None
        if fault is not None:
            self.hub.closing.wait(fault["hang_s"])
            if fault["drop"] == "before":
                self.close_connection = True
                return None
            if fault["status"] is not None:
                return self._send(fault["status"], fault["body"], fault["headers"])
        try:
            with self.hub.lock:
                answer = getattr(self, "_" + name.replace("-", "_"))(**match.groupdict())
            status, content, headers = answer if isinstance(answer, tuple) else (200, answer, {})
        except Answer as early:
            status, content, headers = early.status, early.body, early.headers
        return self._send(status, content, headers)

    def _send(self, status: int, content, headers=()) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **dict(headers)}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if getattr(self, "dropping", None) == "middle":
            body, self.close_connection = body[: len(body) // 2], True
        if self.command != "HEAD":
            self.wfile.write(body)

    # who asks, and for what

    def _user(self, write: bool = False, namespace: str | None = None) -> str | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ").strip()
        user, role = self.hub.tokens.get(token, (None, None))
        if token and user is None:
            raise Answer(401, "Invalid credentials in Authorization header")
        if write and user is None:
            raise Answer(401, "Invalid username or password.")
        if write and (role != "write" or user != namespace):
            raise Answer(403, f'You don\'t have the rights to write under the namespace "{namespace}"')
        return user

    def _repository(self, kind: str | None, repo: str, write: bool = False) -> Repository:
        namespace = unquote(repo).split("/")[0]
        found = self.hub.repositories.get((kind or "models", unquote(repo)))
        user = self._user(write and found is not None, namespace)
        if found is None or (found.private and user != namespace):
            raise Answer(401 if user is None else 404, "Repository not found", "RepoNotFound")
        return found

    def _at(self, repository: Repository, revision: str | None) -> tuple[str, dict[str, File]]:
        sha = repository.sha(revision and unquote(revision))
        if sha is None:
            raise Answer(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha, repository.trees[sha]

    # calls

    def _create(self):
        asked = json.loads(self.body)
        kind = f"{asked.get('type', 'model')}s"
        namespace = asked.get("organization") or self._user()
        repo_id = f"{namespace}/{asked['name']}"
        self._user(write=True, namespace=namespace)
        prefix = "" if kind == "models" else f"{kind}/"
        answer = {"url": f"{self.hub.url}/{prefix}{repo_id}", "name": repo_id}
        if (kind, repo_id) in self.hub.repositories:
            return 409, {**answer, "error": f"You already created this {kind[:-1]} repo"}, {}
        made = Repository(asked.get("visibility") == "private", asked.get("sdk"))
        made.commit("main", {".gitattributes": File(b"*.safetensors filter=lfs\n", size=25)}, "initial commit")
        self.hub.repositories[kind, repo_id] = made
        return answer

    def _validate_yaml(self):
        content = json.loads(self.body)["content"]
        if content.startswith("---\n") and "\n---\n" not in content:
            return 400, {"errors": [{"message": "the front matter has no end"}], "warnings": []}, {}
        empty = [] if content.startswith("---\n") else [{"message": "empty or missing yaml metadata in repo card"}]
        return {"errors": [], "warnings": empty}

    def _preupload(self, kind, repo, revision):
        _, tree = self._at(self._repository(kind, repo, write=True), revision)
        files = []
        for file in json.loads(self.body)["files"]:
            known = tree.get(file["path"])
            mode = "lfs" if file["path"].endswith(LFS_SUFFIXES) or file["size"] > 10e6 else "regular"
            oid = known.oid if known else None
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return {"files": files}

    def _lfs_batch(self, kind, repo):
        self._repository(kind, repo, write=True)
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            upload = {"actions": {"upload": {"href": f"{self.hub.url}/storage/{wanted['oid']}"}}}
            objects.append({**wanted, **({} if wanted["oid"] in self.hub.stored else upload)})
        return {"transfer": "basic", "objects": objects}

    def _lfs_upload(self, oid):
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Answer(400, "the content is not what its oid says")
        self.hub.stored[oid] = self.body
        return {}

    def _commit(self, kind, repo, revision):
        repository = self._repository(kind, repo, write=True)
        branch = unquote(revision)
        sha, tree = self._at(repository, branch)
        tree, lines = dict(tree), [json.loads(line) for line in self.body.splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, sha):
            raise Answer(412, "A commit has happened since. Please refresh and try again.")
        for line in lines[1:]:
            self._change(tree, line["key"], line["value"])
        made = repository.commit(branch, tree, header["summary"])
        return {"success": True, "commitOid": made, "commitUrl": f"{self.hub.url}/{unquote(repo)}/commit/{made}"}

    def _change(self, tree: dict[str, File], key: str, value: dict) -> None:
        path = value["path"]
        if key == "file":
            content = base64.b64decode(value["content"])
            tree[path] = File(content, size=len(content))
        elif key == "lfsFile":
            content = self.hub.stored.get(value["oid"])
            if content is None:
                raise Answer(400, f"the LFS object {value['oid']} of {path} was never uploaded")
            tree[path] = File(content, value["oid"], value["size"])
        elif key == "deletedFile" and path in tree:
            del tree[path]
        else:
            raise Answer(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")

    def _branch(self, kind, repo, branch):
        repository = self._repository(kind, repo, write=True)
        if unquote(branch) in repository.branches:
            raise Answer(409, "Reference already exists")
        start = json.loads(self.body or b"{}").get("startingPoint")
        repository.branches[unquote(branch)] = self._at(repository, start)[0]
        return {}

    def _variables(self, repo):
        variables = self._repository("spaces", repo, write=True).variables
        asked = json.loads(self.body)
        variables[asked["key"]] = asked["value"]
        updated = "2026-01-01T00:00:00.000Z"
        return {key: {"key": key, "value": value, "updatedAt": updated} for key, value in variables.items()}

    def _info(self, kind, repo, revision):
        repository = self._repository(kind, repo)
        sha, tree = self._at(repository, revision)
        counts, siblings = {"downloads": 0, "likes": 0}, [{"rfilename": path} for path in tree]
        answer = {"id": unquote(repo), "_id": sha[:24], "sha": sha, "private": repository.private, "tags": []}
        return {**answer, **counts, "gated": "auto" if repository.gated else False, "siblings": siblings}

    def _tree(self, kind, repo, revision, path):
        _, tree = self._at(self._repository(kind, repo), revision)
        return [file.listing(name) for name, file in tree.items() if name.startswith(path or "")]

    def _resolve(self, kind, repo, revision, path):
        sha, tree = self._at(self._repository(kind, repo), revision)
        path = unquote(path)
        file = tree.get(path)
        if file is None:
            raise Answer(404, f"{path} does not exist on {revision}", "EntryNotFound")
        headers = {"X-Repo-Commit": sha, "ETag": f'"{file.oid}"'}
        headers["Content-Type"] = "application/octet-stream"
        if file.sha256:
            headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
        return 200, file.content, headers
