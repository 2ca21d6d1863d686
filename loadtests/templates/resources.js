"use strict";
// Every two seconds the charts are asked for anew. Only what has changed is put in: open details, the place on the
// page, what is selected and what has the focus stay.
const live = document.getElementById("live");
const style = document.getElementById("watch-style");
const gone = document.getElementById("gone");

function same(old, now) {
  return old.nodeType === 1 && old.nodeName === now.nodeName && old.id === now.id;
}

function put(old, now) {
  for (const { name, value } of [...now.attributes]) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) {
    if (!now.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  inside(old, now);
}

function inside(old, now) {
  const before = [...old.childNodes];
  const after = [...now.childNodes];
  after.forEach((one, place) => {
    const there = before[place];
    if (!there) old.append(one);
    else if (there.isEqualNode(one)) return;
    else if (same(there, one)) put(there, one);
    else there.replaceWith(one);
  });
  before.slice(after.length).forEach(one => one.remove());
}

async function renew() {
  if (!document.hidden) {
    try {
      const answer = await fetch("resources/charts");
      if (!answer.ok) throw new Error(answer.status);
      const shown = await answer.json();
      const made = document.createElement("template");
      made.innerHTML = shown.html;
      if (style.textContent !== shown.style) style.textContent = shown.style;
      inside(live, made.content);
      document.title = shown.title;
      gone.hidden = true;
    } catch {
      gone.hidden = false;
    }
  }
  setTimeout(renew, 2000);
}

setTimeout(renew, 2000);
