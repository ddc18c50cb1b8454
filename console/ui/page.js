// What the table tells, as a page. Text from outside only ever becomes text: nothing here writes HTML.
const main = document.getElementById("main");
const pulse = document.getElementById("pulse");
const toast = document.getElementById("said");
const ask = document.getElementById("ask");
let board = null; // the last overview that was told

// --- making elements

function el(name, attributes = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") made.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...inside.flat().filter((part) => part !== null && part !== undefined && part !== ""));
  return made;
}

function svg(name, attributes = {}, ...inside) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

const classed = (phase) => phase.replace(" ", "-");
const phased = (phase) => el("span", { class: `phase ${classed(phase)}` }, phase);
const short = (name) => (name.includes(":") ? name.slice(0, 19) : name.slice(0, 8));
const cut = (text) => text.slice(0, 16).replace("T", " ");
const when = (text) => el("time", { datetime: text, title: text }, `${cut(text)} UTC`);

function since(text) {
  const seconds = Math.max(0, (Date.now() - Date.parse(text)) / 1000);
  return span(seconds);
}

function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    const count = Math.floor(seconds / size);
    if (count) return `${count} ${unit}${count > 1 ? "s" : ""}`;
  }
  return "less than a minute";
}

const to = (service, release) => `#/release/${service}/${release}`;
const commit = (row) => (row.commit || row.tag ? el("code", {}, short(row.commit) || row.tag) : "");

// --- asking the server

async function told(path) {
  const answer = await fetch(path, { credentials: "same-origin" });
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error || answer.statusText);
  return value;
}

async function say(word) {
  const answer = await fetch("api/say", {
    method: "POST",
    credentials: "same-origin",
    headers: { "Content-Type": "application/json", "X-Esteira": "word" },
    body: JSON.stringify(word),
  });
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error || answer.statusText);
  return value;
}

// --- words, each after a question

const WORDS = {
  rollback: ["Roll back", "Goes back to an earlier release without a build. What is left stays out.", ["to", "reason"]],
  hold: ["Hold", "Nothing begins to deploy here until then. What is live stays live.", ["for", "reason"]],
  resume: ["Resume", "Ends the hold.", []],
  retry: ["Retry", "Gives it a fresh attempt, and lifts its quarantine.", ["why"]],
  abort: ["Abort", "Calls it off; its build or deployment is stopped.", ["reason"]],
  quarantine: ["Quarantine", "Its commit and image do not deploy again by themselves.", ["reason"]],
  approve: ["Approve", "Your vote, for this release and this image.", ["stage", "why"]],
  reject: ["Reject", "Its way ends here.", ["stage", "reason"]],
  promote: ["Promote", "It comes to the next stage although another took its place on the one before.", ["stage", "why"]],
  bypass: ["Bypass", "No rule of the stage stands in its way until then: no approval, bake, window, hold or gate. Everybody sees it.", ["stage", "for", "reason"]],
};

const FIELDS = {
  reason: ["Why (everybody will read it)", true],
  why: ["Why, if you like", false],
  to: ["To which release (empty: the last one that was live and healthy)", false],
  for: ["For how many minutes", true],
  stage: ["Stage (empty: the next one it has not come to)", false],
};

function button(action, about) {
  const [name] = WORDS[action];
  const label = about.release ? `${name} ${about.release}` : `${name} ${about.stage}`;
  return el("button", { type: "button", "data-word": action, "aria-label": label, on: () => question(action, about) }, name);
}

function question(action, about) {
  const [name, what, fields] = WORDS[action];
  document.getElementById("ask-title").textContent = `${name} ${about.release || about.stage} of ${about.service}?`;
  document.getElementById("ask-what").textContent = what;
  document.getElementById("ask-refused").textContent = "";
  document.getElementById("ask-yes").textContent = name;
  const place = document.getElementById("ask-fields");
  place.replaceChildren(
    ...fields.flatMap((field) => {
      const [label, required] = FIELDS[field];
      const id = `ask-${field}`;
      const value = field === "for" ? (action === "bypass" ? "30" : "240") : "";
      const input = field === "stage"
        ? el("select", { id, name: field }, ["", ...(about.stages || [])].map((s) => el("option", { value: s }, s || "the next one")))
        : el("input", { id, name: field, value, required: required ? "" : null, autocomplete: "off",
            ...(field === "for" ? { type: "number", min: "1", max: "43200" } : {}),
            ...(field === "to" ? { pattern: "v[1-9][0-9]*", placeholder: "v3" } : {}) });
      return [el("label", { for: id }, label), input];
    }),
  );
  ask.onclose = null;
  document.getElementById("ask-form").onsubmit = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.target));
    const word = { action, service: about.service, release: about.release, stage: given.stage || about.stage || "",
      reason: given.reason || given.why || "", to: given.to || "" };
    if (given.for) word.minutes = Number(given.for);
    try {
      const answer = await say(word);
      ask.close();
      toast.textContent = `${name}: heard. ${answer.release ? `${answer.release} is ${answer.phase}: ${answer.why}` : answer.why || ""}`;
      setTimeout(() => { toast.textContent = ""; }, 8000);
      show();
    } catch (error) {
      document.getElementById("ask-refused").textContent = error.message;
    }
  };
  ask.showModal();
}

document.getElementById("ask-cancel").addEventListener("click", () => ask.close());

// --- the overview

function overview(value) {
  const several = value.services.length > 1;
  return [
    el("h1", {}, "What is live"),
    ...value.services.map((service) => el("section", { "aria-label": service.service },
      several || service.stages.length > 1 ? el("h2", {}, service.service) : null,
      el("div", { class: "cards" }, service.stages.map((stage) => stageCard(stage, service))),
      found(service.found))),
  ];
}

function stageCard(stage, service) {
  const live = stage.live;
  const about = { service: stage.service, stage: stage.stage };
  const names = service.stages.map((s) => s.stage);
  return el("article", { class: "card", "aria-label": `${stage.service} on ${stage.stage}` },
    el("header", {}, el("h3", {}, `${stage.service} · ${stage.stage}`), live ? phased("live") : null),
    live ? [
      el("p", { class: "big" }, el("a", { href: to(stage.service, live.release) }, live.release), " ", commit(live)),
      el("p", { class: "soft" }, `for ${since(live.since)}, since `, when(live.since)),
      el("p", {}, live.why),
      live.watched_until && Date.parse(live.watched_until) > Date.now() ? el("p", { class: "soft" }, "watched until ", when(live.watched_until)) : null,
      live.alarm ? el("p", { class: "loud" }, live.alarm) : null,
    ] : el("p", { class: "big soft" }, "nothing yet"),
    stage.hold ? el("p", { class: "loud" }, el("strong", {}, "Held"), ` by ${stage.hold.by} until `, when(stage.hold.until), `: ${stage.hold.reason}`) : null,
    stage.bypasses.map((b) => el("p", { class: "loud" }, el("strong", {}, "Bypass"), ` for ${b.release} by ${b.by} until `, when(b.until), `: ${b.reason}`)),
    stage.ordered ? el("p", { class: "loud" }, stage.ordered) : null,
    stage.under_way.length || stage.arrived.length ? el("ul", { "aria-label": "On its way" },
      stage.under_way.map((line) => el("li", {},
        el("p", {}, el("a", { href: to(stage.service, line.release) }, el("strong", {}, line.release)), " ", commit(line), " ", phased(line.phase)),
        el("p", {}, line.why),
        line.votes.map((v) => el("p", { class: "soft" }, `${v.by} said ${v.says}${v.counts || v.says === "no" ? "" : ", which does not count"}${v.reason ? `: ${v.reason}` : ""}`)),
        el("p", { class: "buttons" }, wayWords(line).map((w) => button(w, { service: stage.service, release: line.release, stages: names }))))),
      stage.arrived.map((text) => el("li", {}, text))) : null,
    el("p", { class: "buttons" }, (live ? ["rollback"] : []).concat(stage.hold ? ["resume"] : ["hold"]).map((w) => button(w, about))));
}

function wayWords(line) {
  const asked = line.waits.some((w) => w.what === "approval");
  return [...(asked ? ["approve", "reject"] : []), ...(line.waits.length ? ["bypass"] : []), "abort"];
}

function found(meter) {
  const kinds = Object.entries(meter.kinds).map(([kind, count]) => `${count} ${kind}`).join(", ");
  const count = meter.count >= meter.most ? `${meter.most} or more` : String(meter.count);
  return el("p", { class: "small" }, `Event loss: ${count} transitions in ${meter.days} days were found by the sweep and not told by an event${kinds ? ` (${kinds})` : ""}.`);
}

// --- the history

async function history(service, before) {
  const value = await told(`api/history?service=${encodeURIComponent(service)}${before ? `&before=${before}` : ""}`);
  return [
    el("h1", {}, `The releases of ${service}`),
    value.releases.length ? el("ol", { class: "line" }, value.releases.map((line) => el("li", { class: classed(line.phase) },
      el("p", {}, el("a", { href: to(service, line.release) }, el("strong", {}, line.release)), " ", commit(line), " ", phased(line.phase), " ", when(line.pushed_at)),
      el("p", {}, line.why),
      Object.keys(line.stages).length > 1 ? el("p", { class: "soft" }, Object.entries(line.stages).map(([s, p]) => `${s}: ${p}`).join(" · ")) : null)))
      : el("p", {}, "Nothing was pushed yet."),
    el("p", {}, before ? [el("a", { href: `#/history/${service}` }, "The newest"), "   "] : [], value.next ? el("a", { href: `#/history/${service}/${value.next}` }, "Older releases") : null),
  ];
}

// --- one release

async function release(service, label) {
  const value = await told(`api/release?service=${encodeURIComponent(service)}&number=${encodeURIComponent(label)}`);
  const line = value.line;
  const about = { service, release: line.release, stages: value.stages };
  const rows = [
    ["Commit", line.commit ? [el("code", {}, line.commit), value.commit_link ? [" ", el("a", { href: value.commit_link, rel: "noreferrer" }, "the diff")] : []] : ""],
    ["Tag", line.tag], ["Image", line.digest ? el("code", {}, line.digest) : ""], ["Pushed", when(line.pushed_at)],
    ["Changed", value.changed.length ? `${value.changed.join(", ")}${value.changed_count > value.changed.length ? ` and ${value.changed_count - value.changed.length} more` : ""}` : ""],
    ["Class", line.classes.join(", ")], ["Note", value.note], ["Scan", value.findings],
    ["Exported", Object.entries(value.exported).map(([k, v]) => `${k}=${v}`).join(", ")],
    ...value.builds.map((b) => ["Build", [el("code", {}, b.id), ` attempt ${b.attempt}: ${b.status}`, b.link ? [" ", el("a", { href: b.link, rel: "noreferrer" }, "its log")] : []]]),
    ...value.deployments.map((d) => ["Deployment", [el("code", {}, d.id), ` to ${d.stage}, turn ${d.turn}: ${d.status}`, d.link ? [" ", el("a", { href: d.link, rel: "noreferrer" }, "in CodeDeploy")] : []]]),
    ...value.on.map((at) => [at.stage, [phased(at.phase), ` ${at.why}`]]),
  ].filter(([, what]) => what !== "" && what !== null && what !== undefined);
  return [
    el("h1", {}, `${service} ${line.release} `, phased(line.phase)),
    el("p", {}, line.why),
    line.log.length ? el("pre", { tabindex: "0", "aria-label": "The last lines of its log" }, line.log.join("\n")) : null,
    el("p", { class: "buttons" }, value.words.map((w) => button(w, about))),
    el("h2", {}, "About it"), el("dl", {}, rows.flatMap(([name, what]) => [el("dt", {}, name), el("dd", {}, what)])),
    el("h2", {}, "Facts and decisions, in order"),
    el("ol", { class: "facts" }, value.said.map((row) => el("li", { class: row.decision ? "decision" : "" }, when(row.at),
      el("div", {}, row.decision ? el("span", { class: "kind" }, "decided: ") : null, row.says, row.log.length ? el("pre", { tabindex: "0" }, row.log.join("\n")) : null)))),
  ];
}

// --- the four keys

async function fourKeys(service, stage) {
  const value = await told(`api/dora?service=${encodeURIComponent(service)}${stage ? `&stage=${encodeURIComponent(stage)}` : ""}`);
  const key = (name, figure, how) => el("article", { class: "card" }, el("h2", { class: "soft" }, name), el("p", { class: "big" }, figure), el("p", { class: "soft" }, how));
  const failed = value.deployments.filter((d) => d.restored_seconds !== null);
  return [
    el("h1", {}, `The four keys of ${service} on ${value.stage}`),
    el("p", { class: "soft" }, `The last ${value.days} days: ${value.deployments.length} deployments, and ${value.refused} that ended without a request reaching them.`),
    el("div", { class: "cards" },
      key("Lead time", span(value.lead_seconds), "Median, from the push until it was live."),
      key("Deployment frequency", `${value.per_week.toFixed(1)} a week`, "Releases that came to life by their own deployment."),
      key("Change-failure rate", value.failure_rate === null ? "–" : `${Math.round(value.failure_rate * 100)} %`, `${failed.length} were rolled back from, by a person or an alarm.`),
      key("Time to restore", span(value.restore_seconds), "Median, from when the bad one was live until it was gone back from.")),
    value.deployments.length ? [el("h2", {}, "Deployments a week"), bars(value), el("h2", {}, "Lead time of each deployment"), dots(value), table(value)] : null,
  ];
}

const WIDE = 720;

function bars(value) {
  const week = 7 * 86400000, end = Date.parse(value.until), weeks = Math.ceil(value.days / 7);
  const counts = Array(weeks).fill(0);
  for (const d of value.deployments) counts[Math.min(weeks - 1, Math.floor((end - Date.parse(d.at)) / week))] += 1;
  counts.reverse();
  const most = Math.max(...counts, 1), step = (WIDE - 40) / weeks;
  return svg("svg", { class: "plot", viewBox: `0 0 ${WIDE} 140`, role: "img", "aria-label": `Deployments in each of the last ${weeks} weeks, the oldest first: ${counts.join(", ")}` },
    svg("line", { class: "axis", x1: 30, x2: WIDE, y1: 120, y2: 120 }), label(26, 24, String(most), "end"), label(26, 124, "0", "end"),
    ...counts.map((count, n) => svg("rect", { class: "bar", x: 34 + n * step, width: Math.max(1, step - 4), y: 120 - (count / most) * 100, height: (count / most) * 100 })));
}

function dots(value) {
  const end = Date.parse(value.until), days = value.days * 86400000, known = value.deployments.filter((d) => d.lead_seconds !== null);
  const most = Math.max(...known.map((d) => d.lead_seconds), 1);
  return svg("svg", { class: "plot", viewBox: `0 0 ${WIDE} 140`, role: "img", "aria-label": `Lead time of ${known.length} deployments; the longest ${span(most)}. Below as a table.` },
    svg("line", { class: "axis", x1: 90, x2: WIDE, y1: 120, y2: 120 }), label(84, 24, span(most), "end"), label(84, 124, "0", "end"),
    ...known.map((d) => svg("circle", { class: `dot${d.restored_seconds === null ? "" : " bad"}`, r: 4, cx: 94 + (1 - (end - Date.parse(d.at)) / days) * (WIDE - 100), cy: 120 - (d.lead_seconds / most) * 100 })));
}

function label(x, y, text, anchor) {
  return svg("text", { x, y, "text-anchor": anchor }, text);
}

function table(value) {
  const rows = [...value.deployments].reverse().slice(0, 100);
  return el("details", {}, el("summary", {}, "As a table"), el("div", { class: "scroll" }, el("table", {},
    el("caption", {}, "The newest hundred deployments"),
    el("thead", {}, el("tr", {}, ["Release", "Live", "Lead time", "Gone back from"].map((h) => el("th", { scope: "col" }, h)))),
    el("tbody", {}, rows.map((d) => el("tr", {}, el("th", { scope: "row" }, el("a", { href: to(value.service, `v${d.release}`) }, `v${d.release}`)), el("td", {}, when(d.at)), el("td", {}, span(d.lead_seconds)),
      el("td", {}, d.restored_seconds === null ? "" : `after ${span(d.restored_seconds)}${d.rolled_back_by ? `, by ${d.rolled_back_by}` : ""}`)))))));
}

// --- which view

async function show(focus = false) {
  const [view = "", service = "", more = ""] = location.hash.replace(/^#\//, "").split("/").map(decodeURIComponent);
  links(view, service);
  try {
    if (!board) board = await told("api/overview");
    const first = service || board.services[0].service;
    const parts = view === "history" ? await history(first, more) : view === "release" ? await release(first, more)
      : view === "dora" ? await fourKeys(first, more) : overview(board);
    put(parts, focus);
  } catch (error) {
    put([el("h1", {}, "That cannot be shown"), el("p", { class: "refused" }, error.message)], focus);
  }
}

function put(parts, focus) {
  // What is focused keeps the focus when it is drawn again.
  const held = document.activeElement && main.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  main.replaceChildren(...parts.flat(9).filter(Boolean));
  main.setAttribute("aria-busy", "false");
  if (held) [...main.querySelectorAll("[aria-label]")].find((e) => e.getAttribute("aria-label") === held)?.focus();
  const title = main.querySelector("h1")?.textContent;
  document.title = title ? `${title} – esteira` : "esteira";
  if (focus) main.focus();
}

function links(view, service) {
  const services = board ? board.services : [];
  const nav = document.getElementById("views");
  const link = (href, text, current) => el("a", { href, "aria-current": current ? "page" : null }, text);
  const of = services.length > 1;
  nav.replaceChildren(link("#/", "Live", !view), ...services.flatMap((s) => [
    link(`#/history/${s.service}`, of ? `History of ${s.service}` : "History", view === "history" && (!service || service === s.service)),
    link(`#/dora/${s.service}`, of ? `Four keys of ${s.service}` : "Four keys", view === "dora" && (!service || service === s.service))]));
}

addEventListener("hashchange", () => show(true));

const changes = new EventSource("api/changes");
changes.addEventListener("overview", (event) => {
  board = JSON.parse(event.data);
  pulse.textContent = `Live, as ${board.by}`;
  pulse.classList.remove("lost");
  if (!ask.open) show();
});
changes.addEventListener("trouble", (event) => {
  pulse.textContent = JSON.parse(event.data).error;
  pulse.classList.add("lost");
});
changes.onerror = () => {
  pulse.textContent = "esteira ui does not answer; this is how it was";
  pulse.classList.add("lost");
};
