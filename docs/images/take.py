# ruff: noqa: INP001 - a script, no package
"""Takes the screenshots of this folder anew: `.venv/bin/python docs/images/take.py [SECONDS]`.

Runs the demo for so many seconds first (default 180), so that there is something to see. Needs chromium.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from playwright.async_api import Page, async_playwright

HERE = Path(__file__).parent
WIDTH, MOST = 1280, 1280
END_S = 60.0


async def main(play_s: float) -> None:
    """Runs the demo, takes the pictures, ends it."""
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "gateway.cli", "demo", "--port", "0"), stdout=PIPE, stderr=DEVNULL
    )
    assert demo.stdout is not None
    try:
        url = (await demo.stdout.readline()).decode().split()[1]
        key = (await demo.stdout.readline()).decode().split()[1]
        await asyncio.sleep(play_s)
        await take(url, key)
    finally:
        demo.terminate()
        async with asyncio.timeout(END_S):
            await demo.wait()


async def take(url: str, key: str) -> None:
    """The pictures of a running demo."""
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=root)
        page = await browser.new_page(viewport={"width": WIDTH, "height": 800}, color_scheme="light")
        await page.goto(url)
        await page.fill("#key", key)
        await page.press("#key", "Enter")
        await page.wait_for_selector(".needs")
        await shot(page, "overview.png")
        await page.goto(f"{url.rstrip('/')}/dead-letters")
        await page.click(".groups a:has-text('refused the document')")
        await page.wait_for_selector("#rate")
        await shot(page, "workbench.png")
        await page.goto(f"{url.rstrip('/')}/codes")
        await page.click("tbody a")  # the code that is missed longest: an order that waits for it
        await page.click("main table a")
        subject = await page.inner_text("h1 a")
        await page.fill("#q", subject)
        await page.press("#q", "Enter")
        await page.wait_for_selector(".line")
        await shot(page, "timeline.png")
        await browser.close()


async def shot(page: Page, name: str) -> None:
    """The whole page, or as much of it as a reader bears."""
    await page.mouse.move(0, 0)
    height = min(await page.evaluate("document.documentElement.scrollHeight"), MOST)
    await page.set_viewport_size({"width": WIDTH, "height": height})
    await page.wait_for_timeout(500)
    await page.screenshot(path=HERE / name)
    await page.set_viewport_size({"width": WIDTH, "height": 800})


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 180.0))
