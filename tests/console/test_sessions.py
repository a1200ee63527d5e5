"""Who gets in, for how long, and what a form must carry."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute

from gateway.console.rooms import ROOMS
from gateway.keys import Key, NewKey
from gateway.sessions import IDLE_S, LONGEST_S, Sessions
from tests.console.site import Site, csrf_of
from tests.gateway.hubs import Gate, served

PAGES = [
    "/",
    "/search?q=x",
    "/dead-letters",
    "/exceptions",
    "/codes",
    "/lanes",
    "/service-levels",
    "/adapters",
    "/routes",
]


async def test_without_a_session_every_page_leads_to_the_login_and_back(site: Site) -> None:
    stranger = site.stranger()
    for page in PAGES:
        answer = await stranger.get(page)
        assert answer.status_code == 303, page
        assert answer.headers["location"].startswith("/login")
    key = await site.gate.key("viewer")
    answer = await site.login(stranger, key, next="/search?q=x")
    assert (answer.status_code, answer.headers["location"]) == (303, "/search?q=x")
    for page in PAGES:
        assert (await stranger.get(page)).status_code == 200, page


async def test_a_fragment_without_a_session_sends_the_whole_page_to_the_login(site: Site) -> None:
    answer = await site.stranger().get("/", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login")


async def test_a_link_from_elsewhere_is_asked_again_by_the_page_itself(site: Site) -> None:
    visitor = await site.visitor("viewer")
    visitor.cookies.clear()  # what a browser withholds (SameSite=Strict)
    answer = await visitor.get("/lanes", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert 'http-equiv="refresh"' in answer.text


async def test_the_cookie_is_for_no_script_and_no_other_site(site: Site) -> None:
    stranger = site.stranger()
    answer = await site.login(stranger, await site.gate.key("viewer"))
    cookie = next(text for text in answer.headers.get_list("set-cookie") if "-session" in text)
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    assert "Secure" not in cookie


async def test_over_tls_the_cookie_is_bound_to_it(gate: Gate) -> None:
    transport = httpx.ASGITransport(gate.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://hub") as client:
        answer = await Site.login(client, await gate.key("viewer"))
    cookie = next(text for text in answer.headers.get_list("set-cookie") if "-session" in text)
    assert cookie.startswith("__Host-")
    assert "Secure" in cookie


@pytest.mark.parametrize(("proxies", "bound"), [(["127.0.0.0/8"], True), (["10.0.0.7"], False), ([], False)])
async def test_a_named_proxy_says_whether_a_caller_came_over_tls(
    tmp_path: Path, proxies: list[str], bound: bool
) -> None:
    async with served(tmp_path, gateway={"proxies": proxies}) as gate:
        told = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.5"}
        async with httpx.AsyncClient(base_url=gate.base, headers=told) as client:
            answer = await client.get("/login")
    cookie = answer.headers["set-cookie"]
    assert (cookie.startswith("__Host-"), "Secure" in cookie) == (bound, bound)


async def test_failed_logins_behind_a_proxy_are_counted_by_caller(tmp_path: Path) -> None:
    async with served(tmp_path, gateway={"proxies": ["127.0.0.1"]}) as gate:

        async def asks(caller: str, key: str = "cp_aaaaaaaaaa_wrong") -> int:
            # what a caller claims stands before what the proxy adds, and counts for nothing
            told = {"X-Forwarded-For": f"198.51.100.1, {caller}", "Authorization": f"Bearer {key}"}
            async with httpx.AsyncClient(base_url=gate.base, headers=told) as client:
                return (await client.get("/v1/plants")).status_code

        answers = {await asks("203.0.113.5") for _ in range(40)}
        assert answers == {401, 429}
        assert await asks("203.0.113.6") == 401
        assert await asks("203.0.113.6", await gate.key("viewer")) == 200


async def test_every_answer_has_the_headers_that_keep_scripts_and_frames_away(site: Site) -> None:
    visitor = await site.visitor("viewer")
    for page in [*PAGES, "/login", "/docs", "/dead-letters/7"]:
        headers = (await visitor.get(page)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy, page
        assert "unsafe" not in policy, page
        assert "frame-ancestors 'none'" in policy, page
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store", page


async def test_what_pages_load_is_ours_and_may_be_kept(site: Site) -> None:
    text = (await (await site.visitor("viewer")).get("/")).text
    loaded = re.findall(r'(?:src|href)="(/static/[^"]+)"', text)
    assert len(set(loaded)) >= 5
    for address in set(loaded):
        answer = await site.stranger().get(address)
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["cache-control"]
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text)
    assert " style=" not in text
    assert "<script>" not in text


async def test_a_wrong_key_is_refused_and_too_many_have_to_wait(site: Site) -> None:
    stranger = site.stranger()
    answer = await site.login(stranger, "cp_abcdefghjk_" + "A" * 43)
    assert answer.status_code == 401
    assert "unknown, revoked or expired" in answer.text
    answers = [await site.login(stranger, f"cp_{number}_x") for number in range(25)]
    assert answers[-1].status_code == 429
    assert "wait" in answers[-1].text


async def test_a_key_that_may_see_nothing_gets_no_session(site: Site) -> None:
    stranger = site.stranger()
    answer = await site.login(stranger, await site.gate.key("monitor"))
    assert answer.status_code == 403
    assert (await stranger.get("/")).status_code == 303


async def test_a_login_form_of_another_site_is_refused(site: Site) -> None:
    stranger = site.stranger()
    key = await site.gate.key("viewer")
    answer = await stranger.post("/login", data={"key": key, "token": "x", "next": "/"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "x", "/\n/x"]
)
async def test_the_login_leads_nowhere_else(site: Site, target: str) -> None:
    answer = await site.login(site.stranger(), await site.gate.key("viewer"), next=target)
    assert answer.headers["location"] == "/"


async def test_every_form_needs_the_sessions_token(site: Site) -> None:
    visitor = await site.visitor("admin")
    posts = [
        route.path
        for api in ROOMS
        for route in api.routes
        if isinstance(route, APIRoute) and "POST" in (route.methods or ()) and route.path != "/login"
    ]
    assert len(posts) >= 7
    for path in posts:
        address = re.sub(r"\{[^}]*\}", "1", path)
        for fields in ({}, {"csrf": "wrong"}):
            answer = await visitor.post(address, data=fields)
            assert answer.status_code == 403, path
            assert "not of your session" in answer.text
        answer = await site.stranger().post(address, data={})
        assert answer.status_code == 303, path


async def test_a_token_of_another_session_does_not_do(site: Site) -> None:
    one, other = await site.visitor("admin"), await site.visitor("operator")
    token = csrf_of((await one.get("/")).text)
    assert (await other.post("/logout", data={"csrf": token})).status_code == 403


async def test_logout_ends_the_session(site: Site) -> None:
    visitor = await site.visitor("viewer")
    cookies = dict(visitor.cookies)
    token = csrf_of((await visitor.get("/")).text)
    answer = await visitor.post("/logout", data={"csrf": token})
    assert answer.headers["location"] == "/login"
    visitor.cookies.update(cookies)
    assert (await visitor.get("/")).status_code == 303


@pytest.mark.parametrize("act", ["revoke", "rotate"])
async def test_a_session_ends_with_its_key(site: Site, act: str) -> None:
    keys = site.hub.keys
    created = await keys.create(NewKey(name="somebody", roles=("viewer",)), by="test")
    visitor = site.stranger()
    await site.login(visitor, created.text)
    assert (await visitor.get("/")).status_code == 200
    await getattr(keys, act)(created.key.id, by="test")
    assert (await visitor.get("/")).status_code == 303


async def test_sessions_are_audited(site: Site) -> None:
    visitor = await site.visitor("viewer")
    await visitor.post("/logout", data={"csrf": csrf_of((await visitor.get("/")).text)})
    acts = (await (await site.gate.client("admin")).get("/v1/audit")).json()["items"]
    assert [act["act"] for act in acts if act["act"].startswith("session.")] == [
        "session.end",
        "session.open",
    ]


async def test_a_session_opens_pages_but_not_the_api(site: Site) -> None:
    visitor = await site.visitor("admin")
    assert (await visitor.get("/v1/events")).status_code == 401
    assert (await visitor.get("/docs", headers={"Accept": "text/html"})).status_code == 200
    assert (await visitor.get("/openapi.json")).status_code == 200
    stranger = site.stranger()
    answer = await stranger.get("/docs", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fdocs")


# ── time ──


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def _key(gate: Gate) -> Key:
    created = await gate.hub.keys.create(NewKey(name="somebody", roles=("viewer",)), by="test")
    return created.key


async def test_an_idle_session_ends_and_what_a_page_does_by_itself_does_not_count(gate: Gate) -> None:
    clock = Clock()
    sessions = Sessions(gate.hub.keys, clock=clock)
    token, _ = sessions.open(await _key(gate))
    clock.now_s += IDLE_S - 1
    assert sessions.find(token) is not None
    clock.now_s += IDLE_S - 1
    assert sessions.find(token, touch=False) is not None
    clock.now_s += 2
    assert sessions.find(token) is None


async def test_no_session_outlasts_a_shift(gate: Gate) -> None:
    clock = Clock()
    sessions = Sessions(gate.hub.keys, clock=clock)
    token, _ = sessions.open(await _key(gate))
    until_s = clock.now_s + LONGEST_S
    while clock.now_s < until_s - 3600:
        clock.now_s += 3600
        assert sessions.find(token) is not None
    clock.now_s = until_s
    assert sessions.find(token) is None
