// Asks for the page again each second, and changes only what differs: focus, selection and scroll stay where they are.
"use strict";

const EVERY_MS = 1000;
const WITHIN_MS = 5000;

function change(old, fresh) {
  if (old.nodeName !== fresh.nodeName || old.childNodes.length !== fresh.childNodes.length) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name, value } of fresh.attributes ?? []) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const children = [...fresh.childNodes];
  [...old.childNodes].forEach((child, place) => change(child, children[place]));
}

function say(text) {
  const link = document.getElementById("link");
  if (link.textContent !== text) link.textContent = text;
  document.body.classList.toggle("stale", text !== "");
}

async function look() {
  if (!document.hidden) {
    try {
      const answer = await fetch(location.pathname, { cache: "no-store", signal: AbortSignal.timeout(WITHIN_MS) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      change(document.getElementById("live"), fresh.getElementById("live"));
      say("");
    } catch {
      say("The worker does not answer: what you see is old.");
    }
  }
  setTimeout(look, EVERY_MS);
}

setTimeout(look, EVERY_MS);
