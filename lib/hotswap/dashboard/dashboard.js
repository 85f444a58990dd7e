// Asks for the page again and takes over what changed. Without this script, the page reloads itself.
"use strict";

const IDLE = 5000;
const DURING_A_SWAP = 1000;
// Not location.href, which may hold a password: fetch refuses that.
const address = location.origin + location.pathname;

async function refresh() {
  const answer = await fetch(address, { credentials: "same-origin", redirect: "error" });
  if (!answer.ok) throw new Error(`the server answered with status ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const next = page.querySelector("main");
  if (!next) throw new Error("the server answered with another page");
  adopt(document.querySelector("main"), next);
}

// Leaves alone what is equal, so that a selection and the focus stay.
function adopt(main, next) {
  const parts = (root) => [...root.querySelectorAll("[data-part]")];
  const names = (root) => parts(root).map((part) => part.dataset.part).join(" ");
  if (names(main) !== names(next)) return main.replaceChildren(...next.childNodes);
  const fresh = parts(next);
  parts(main).forEach((part, index) => {
    if (!part.isEqualNode(fresh[index])) part.replaceChildren(...fresh[index].childNodes);
  });
}

async function watch() {
  const trouble = document.querySelector("#trouble");
  try {
    if (!document.hidden) await refresh();
    trouble.hidden = true;
  } catch (error) {
    trouble.textContent = `This page is out of date: ${error.message}. Trying again.`;
    trouble.hidden = false;
  }
  watchLater();
}

function watchLater() {
  setTimeout(watch, document.querySelector(".swap") ? DURING_A_SWAP : IDLE);
}

watchLater();
