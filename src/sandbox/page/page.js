"use strict";
const source = document.body.dataset.source;
const byId = (id) => document.getElementById(id);
const form = byId("act");
let version = null, shown = {}, tab = location.hash.slice(1) || "conversation", failed = 0;

function toast(text) {
  byId("toast").textContent = text;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { byId("toast").textContent = ""; }, 6000);
}

// Replaces a part when it changed, and keeps what the reader had opened or closed.
function fill(id, html) {
  if (shown[id] === html) return;
  shown[id] = html;
  const element = byId(id);
  const before = [...element.querySelectorAll("details")].map((d) => [d.querySelector("summary")?.textContent, d.open]);
  element.innerHTML = html;
  for (const details of element.querySelectorAll("details")) {
    const known = before.findIndex(([text]) => text === details.querySelector("summary")?.textContent);
    if (known >= 0) details.open = before.splice(known, 1)[0][1];
  }
}

function select(name) {
  tab = ["conversation", "commits", "checks", "files"].includes(name) ? name : "conversation";
  for (const button of document.querySelectorAll("nav button")) {
    button.setAttribute("aria-selected", String(button.dataset.tab === tab));
    byId(button.dataset.tab).hidden = button.dataset.tab !== tab;
  }
}

function show(page) {
  version = page.version;
  for (const [id, html] of Object.entries(page.html)) fill(id, html);
  document.title = byId("head").querySelector("h1")?.textContent ?? "Pull request";
  for (const button of document.querySelectorAll("nav button"))
    button.querySelector("span").textContent = page.counts[button.dataset.tab];
  const people = JSON.stringify(page.people);
  if (shown.people !== people) {
    shown.people = people;
    const chosen = form.as.value || localStorage.getItem("as");
    form.as.replaceChildren(...page.people.map((p) => new Option(p.label, p.login, false, p.login === chosen)));
  }
  const buttons = JSON.stringify(page.buttons);
  if (shown.buttons !== buttons) {
    shown.buttons = buttons;
    byId("buttons").replaceChildren(...page.buttons.map((b) => {
      const button = document.createElement("button");
      button.textContent = b.label;
      button.dataset.do = "press";
      button.dataset.label = b.label;
      button.className = "special";
      return button;
    }));
  }
  for (const verb of ["approve", "request_changes", "close", "merge"])
    form.querySelector(`[data-do=${verb}]`).hidden = !page.open && verb !== "approve";
  form.elements.method.hidden = !page.open;
  form.querySelector("[data-do=reopen]").hidden = page.state !== "closed";
}

async function poll() {
  try {
    const answer = await fetch(version === null ? source : `${source}?since=${version}`);
    if (answer.status === 200) show(await answer.json());
    if (failed > 2) toast("connected again");
    failed = 0;
  } catch {
    if (++failed === 3) toast("the stand-in does not answer: is the demo still running?");
  }
}

async function act(button) {
  const body = { as: form.as.value, do: button.dataset.do, text: form.text.value, method: form.elements.method.value, label: button.dataset.label };
  button.disabled = true;
  try {
    const answer = await fetch(`${source}/act`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    if (answer.ok) {
      if (body.do !== "press" && body.do !== "merge") form.text.value = "";
    } else {
      toast((await answer.json()).message);
    }
    await poll();
  } catch {
    toast("the stand-in does not answer");
  } finally {
    button.disabled = false;
  }
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (button) { event.preventDefault(); act(button); }
});
form.as.addEventListener("change", () => localStorage.setItem("as", form.as.value));
document.querySelector("nav").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) { history.replaceState(null, "", `#${button.dataset.tab}`); select(button.dataset.tab); }
});
select(tab);
(async function live() { await poll(); setTimeout(live, 700); })();
