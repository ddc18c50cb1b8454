// What the table tells, as a page. Text from outside only ever becomes text: nothing here writes HTML.
const byId = (id) => document.getElementById(id);
const main = byId("main"), pulse = byId("pulse"), toast = byId("said"), heard = byId("heard"), ask = byId("ask");

const services = new Map(); // by name, in the order they were told: what the overview shows of each
const runs = new Map(); // by name: what runs of each
let names = null; // of all there are; null until they were told
let by = "", where = "", ahead = 0; // who says words; of which controller; how far the server's clock is ahead of ours
let drawn = ""; // what is drawn, so that nothing is drawn twice

// --- making elements

function el(name, attributes = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") made.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...inside.flat(9).filter(shown));
  return made;
}

const shown = (part) => part !== null && part !== undefined && part !== "" && part !== false;

function svg(name, attributes = {}, ...inside) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside.flat());
  return made;
}

const classed = (phase) => phase.replaceAll(" ", "-");
const phased = (phase) => el("span", { class: `phase ${classed(phase)}` }, phase);
const short = (name) => name.slice(0, 8);
const to = (service, release) => `#/release/${service}/${release}`;
const named = (line) => [
  line.commit ? el("code", {}, short(line.commit)) : line.tag ? el("code", {}, line.tag) : "",
  line.subject ? el("span", { class: "subject" }, ` ${line.subject}`) : null,
  line.author ? el("span", { class: "soft" }, ` by ${line.author}`) : null,
];
const when = (text) => el("time", { datetime: text }, `${text.slice(0, 16).replace("T", " ")} UTC`);
const clock = (text) => el("time", { datetime: text }, text.slice(11, 19));
const now = () => Date.now() + ahead;
const passed = (text) => span(Math.max(0, (now() - Date.parse(text)) / 1000));
const since = (text) => el("time", { datetime: text, "data-since": text, title: `${text.slice(0, 16).replace("T", " ")} UTC` }, passed(text));

function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const at = units.findIndex(([, size]) => seconds >= size);
  if (at < 0) return seconds < 1 ? "a moment" : "less than a minute";
  const [[unit, size], next] = [units[at], units[at + 1]];
  const count = Math.floor(seconds / size), rest = next ? Math.floor((seconds % size) / next[1]) : 0;
  const said = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
  return count < 10 && rest ? `${said(count, unit)} ${said(rest, next[0])}` : said(count, unit);
}

/** A length of time beside an axis, where there is little room. */
function brief(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(1)} d`;
}

// --- asking the server

async function told(path, options = {}) {
  const answer = await fetch(path, { credentials: "same-origin", ...options });
  const text = await answer.text();
  if (answer.status === 403) throw new Error("This page belongs to an esteira ui that has ended. Open the address that the new one printed.");
  const value = answer.headers.get("Content-Type")?.includes("json") ? JSON.parse(text) : { error: text };
  if (!answer.ok) throw new Error(value.error || answer.statusText);
  return value;
}

const say = (word) => told("api/say", {
  method: "POST",
  headers: { "Content-Type": "application/json", "X-Esteira": "word" },
  body: JSON.stringify(word),
});

// --- words, each after a question

const WORDS = {
  rollback: ["Roll back", "Goes back to an earlier release without a build. The present release is quarantined.", ["to", "reason"]],
  "go-back": ["Roll back to it", "Makes this release live again without a build. The present release is quarantined.", ["reason"]],
  hold: ["Hold", "No deployment begins here until then. The live release stays live.", ["for", "reason"]],
  resume: ["Resume", "Ends the hold.", ["why"]],
  retry: ["Retry", "Starts a new attempt and lifts its quarantine.", ["why"]],
  abort: ["Abort", "Stops its build or deployment.", ["reason"]],
  quarantine: ["Quarantine", "Its commit and its image do not deploy again by themselves. A retry lifts the quarantine.", ["reason"]],
  approve: ["Approve", "Your vote for this release and this image.", ["stage", "why"]],
  reject: ["Reject", "Your vote against it. It goes no further; where it is live, it stays live.", ["stage", "reason"]],
  promote: ["Promote", "Sends it to the next stage although a newer release replaced it on the stage before. The rules of that stage apply.", ["stage", "why"]],
  bypass: ["Bypass the rules", "Until then no rule of the stage applies to it: no bake time, approval, window, hold or gate. Everybody sees it.", ["stage", "for", "reason"]],
};
const LENGTH = "(?=.)(\\d+d)?(\\d+h)?(\\d+m)?";
const FIELDS = {
  reason: ["Why", "Everybody will read it.", { required: "", maxlength: "500" }],
  why: ["Why", "Optional. Everybody will read it.", { maxlength: "500" }],
  to: ["To which release", "Such as v3. If empty: the last release that was live and healthy.", { pattern: "v[1-9][0-9]{0,7}", title: "a release, such as v3" }],
  for: ["For how long", "Such as 30m, 4h, 1d or 1h30m.", { required: "", pattern: LENGTH, title: "a length of time, such as 30m, 4h or 1d" }],
  stage: ["Which stage", "Default: the next stage it has not reached.", {}],
};

function button(action, about, strong = false) {
  const thing = about.release || about.stage;
  return el("button", { type: "button", class: strong ? "strong" : null, "data-word": action, "data-key": `${action} ${about.service} ${thing}`,
    "aria-label": `${WORDS[action][0]}: ${thing} of ${about.service}`, on: () => question(action, about) }, WORDS[action][0]);
}

function field(name, action, about) {
  const [text, hint, rules] = FIELDS[name], id = `ask-${name}`;
  const label = el("label", { for: id }, text, hint ? el("span", { class: "hint", id: `${id}-hint` }, hint) : null);
  if (name === "stage") {
    if (about.stages.length < 2) return [];
    return [label, el("select", { id, name, "aria-describedby": `${id}-hint` }, el("option", { value: "" }, "the next one"), about.stages.map((s) => el("option", { value: s }, s)))];
  }
  const value = name === "for" ? (action === "bypass" ? "30m" : "4h") : "";
  return [label, el("input", { id, name, value, autocomplete: "off", "aria-describedby": `${id}-hint`, ...rules })];
}

function question(action, about) {
  const [name, what, fields] = WORDS[action], form = byId("ask-form"), yes = byId("ask-yes"), refused = byId("ask-refused");
  byId("ask-title").textContent = `${name}: ${about.release || about.stage} of ${about.service}?`;
  byId("ask-what").textContent = `${what} You say it as ${by}.`;
  refused.textContent = "";
  yes.textContent = name;
  byId("ask-fields").replaceChildren(...fields.flatMap((one) => field(one, action, about)));
  form.onsubmit = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(form));
    yes.disabled = true;
    refused.textContent = "";
    try {
      const answer = await say(word(action, about, given));
      ask.close();
      tell(`${name}: recorded. ${answer.release && answer.why ? `${answer.release} is ${answer.phase}: ${answer.why}` : ""}`);
    } catch (error) {
      refused.textContent = error.message;
    } finally {
      yes.disabled = false;
    }
  };
  ask.showModal();
  (byId("ask-fields").querySelector("input, select") || yes).focus();
}

function word(action, about, given) {
  const said = { action, service: about.service, release: about.release, stage: given.stage || about.stage, reason: given.reason || given.why, to: given.to };
  if (action === "go-back") Object.assign(said, { action: "rollback", to: about.release });
  if (said.action === "rollback") Object.assign(said, { release: "" });
  if (given.for) said.minutes = [["d", 1440], ["h", 60], ["m", 1]].reduce((sum, [unit, size]) => sum + size * Number(given.for.match(`(\\d+)${unit}`)?.[1] || 0), 0);
  return said;
}

let silence;
function tell(text) {
  toast.textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => { toast.textContent = ""; }, 9000);
}

byId("ask-cancel").addEventListener("click", () => ask.close());
ask.addEventListener("close", () => show());

// --- the overview

function overview() {
  return [
    el("h1", {}, "What is live"),
    [...services.values()].map((service) => el("section", { "aria-labelledby": `service-${service.service}` },
      el("h2", { id: `service-${service.service}` }, service.service),
      newest(service),
      el("ol", { class: "cards stages" }, service.stages.map((stage) => stageCard(stage, service))),
      found(service.found))),
  ];
}

const ENDED = ["failed", "aborted", "rejected", "rolled back", "skipped"];
const STEPS = { done: "●", now: "◐", ended: "✗", ahead: "○" };

/** What was pushed last and how that went, how far it is, and where the model answers. */
function newest(service) {
  const line = service.newest;
  return [
    line ? el("p", { class: "lead" }, "Pushed last: ", el("a", { href: to(service.service, line.release) }, el("strong", {}, line.release)), " ", named(line), ", ", since(line.pushed_at), " ago ", phased(line.phase)) : el("p", { class: "lead" }, "Nothing was pushed yet. To push, in the model’s repository: ", el("code", {}, `git push ${service.remote} HEAD:${service.branch}`)),
    line ? el("ol", { class: "steps", "aria-label": `How far ${line.release} is` }, service.steps.map(([name, state]) => el("li", { class: state }, el("span", { "aria-hidden": "true" }, `${STEPS[state]} `), name, el("span", { class: "unseen" }, `: ${state}`)))) : null,
    el("div", { "data-runs": service.service }, running(service.service)),
    line && ENDED.includes(line.phase) ? el("p", {}, line.why) : null,
    line && ENDED.includes(line.phase) && line.log.length ? el("pre", { tabindex: "0", role: "region", "aria-label": `The last lines of the log of ${line.release}` }, line.log.join("\n")) : null,
    service.failing.map((text) => el("p", { class: "loud" }, el("strong", {}, "Failing: "), text)),
    service.rules ? el("p", {}, el("small", {}, `Rules: ${service.rules}`)) : null,
    service.url ? el("p", { class: "answers" }, service.live ? `${service.live} answers at ` : "It will answer at ", el("a", { href: service.url, rel: "noreferrer", target: "_blank" }, service.url)) : null,
  ];
}

/** What runs just now: how far it is, since when, and how long the last ones took. It is drawn by itself at every look. */
function running(service, release = "") {
  return (runs.get(service) || []).filter((run) => !release || run.release === release).map((run) => {
    const took = (now() - Date.parse(run.since)) / 1000, usual = run.usual_seconds, on = run.stage ? ` to ${run.stage}` : "";
    return el("div", { class: "running" },
      el("p", {}, el("strong", {}, `${run.release}: ${run.what}${on}`), run.step ? [", ", el("code", {}, run.step)] : null),
      el("progress", took < usual ? { max: usual, value: took, "aria-label": `The ${run.what} of ${run.release}, beside the last ones` } : { "aria-label": `The ${run.what} of ${run.release} runs` }),
      el("p", { class: "soft small" }, `for ${brief(Math.max(0, took))}`, usual ? `; the last ones took ${brief(usual)}` : null),
      run.says ? el("pre", {}, run.says) : null);
  });
}

function drawRunning() {
  for (const it of main.querySelectorAll("[data-runs]")) {
    const fresh = it.cloneNode();
    fresh.append(...running(...it.dataset.runs.split(" ")));
    if (!it.isEqualNode(fresh)) it.replaceChildren(...fresh.childNodes);
  }
}

function stageCard(stage, service) {
  const { live, hold } = stage, about = { service: stage.service, stage: stage.stage };
  const names = service.stages.map((s) => s.stage);
  return el("li", { class: "card" },
    el("div", { class: "head" }, el("h3", {}, stage.stage), live ? phased("live") : null),
    live ? [
      el("p", { class: "big" }, el("a", { href: to(stage.service, live.release) }, live.release), " ", named(live)),
      el("p", { class: "soft small" }, "live for ", since(live.since)),
      el("p", {}, live.why),
      live.watched_until ? el("p", { class: "soft small" }, "watched until ", when(live.watched_until)) : null,
      live.alarm ? el("p", { class: "loud" }, el("strong", {}, "Alarm: "), live.alarm) : null,
      live.differs ? el("p", { class: "loud" }, el("strong", {}, "The hosts differ: "), live.differs) : null,
      live.sick ? el("p", { class: "loud" }, el("strong", {}, "Sick: "), live.sick) : null,
      live.silent.map((says) => el("p", { class: "loud" }, el("strong", {}, "Silent: "), says)),
    ] : el("p", { class: "big none" }, "nothing yet"),
    hold ? el("p", { class: "loud" }, el("strong", {}, "Held"), ` by ${hold.by} until `, when(hold.until), `: ${hold.reason}`) : null,
    stage.bypasses.map((b) => el("p", { class: "loud" }, el("strong", {}, "Rules bypassed"), ` for ${b.release} by ${b.by} until `, when(b.until), `: ${b.reason}`)),
    stage.ordered ? el("p", { class: "loud" }, el("strong", {}, "Rollback ordered: "), stage.ordered) : null,
    stage.under_way.length || stage.arrived.length ? [el("h4", {}, "On its way here"), el("ul", { class: "way" },
      stage.under_way.map((line) => onItsWay(line, { service: stage.service, release: line.release, stages: names })),
      stage.arrived.map((text) => el("li", {}, text)))] : null,
    el("p", { class: "buttons" }, [...(live ? ["rollback"] : []), hold ? "resume" : "hold"].map((w) => button(w, about))));
}

function onItsWay(line, about) {
  const asked = line.waits.some((w) => w.what === "approval");
  const words = [...(asked ? ["approve", "reject"] : []), ...(line.waits.length ? ["bypass"] : []), "abort"];
  const reasons = line.waits.map((w) => w.why);
  return el("li", {},
    el("p", {}, el("a", { href: to(about.service, line.release) }, el("strong", {}, line.release)), " ", named(line), " ", phased(line.phase)),
    reasons.length > 1 ? el("ul", {}, reasons.map((why) => el("li", {}, why))) : el("p", {}, reasons[0] || line.why),
    line.needed ? el("p", { class: "soft small" }, `${line.votes.filter((v) => v.counts).length} of ${line.needed} approvals`) : null,
    line.votes.map((v) => el("p", { class: "soft small" }, `${v.by} said ${v.says}${v.counts || v.says === "no" ? "" : ", which does not count"}${v.reason ? `: ${v.reason}` : ""}`)),
    el("p", { class: "buttons" }, words.map((w) => button(w, about, w === "approve"))));
}

function found(meter) {
  const kinds = Object.entries(meter.kinds).map(([kind, count]) => `${count} × ${kind}`).join(", ");
  const count = meter.count >= meter.most ? `${meter.most} or more` : meter.count;
  const said = meter.count ? `${count} in ${meter.days} days, which the sweep found instead (${kinds})` : `none in ${meter.days} days; every change was reported by an event`;
  return el("p", { class: "soft small meter" }, `Lost events: ${said}.`);
}

// --- the history

const history = (service, before, search) => told(`api/history?service=${encodeURIComponent(service)}${before ? `&before=${before}` : ""}${search ? `&search=${encodeURIComponent(search)}` : ""}`);

/** A search over the newest releases: by label, commit, subject, author, tag, phase or what went wrong. */
function searching(service, search) {
  const input = el("input", { type: "search", id: "search", name: "search", value: search, autocomplete: "off", maxlength: "200" });
  const form = el("form", { class: "search", role: "search" }, el("label", { for: "search" }, "Search the newest 500"), input, el("button", { type: "submit" }, "Search"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = input.value.trim() ? `#/history/${service}/search/${encodeURIComponent(input.value.trim())}` : `#/history/${service}`;
  });
  return form;
}

function historyView(value, before, search = "") {
  const days = byDay(value.releases, "pushed_at");
  return [
    el("h1", {}, `Releases of ${value.service}`),
    searching(value.service, search),
    value.releases.length ? [...days].map(([day, lines]) => [
      el("h2", {}, new Date(`${day}T12:00Z`).toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" })),
      el("ol", { class: "line" }, lines.map((line) => historyLine(value.service, line))),
    ]) : el("p", {}, search ? `No release has “${search}” in it.` : "Nothing was pushed yet."),
    el("p", { class: "pager" }, before || search ? el("a", { href: `#/history/${value.service}` }, "← the newest") : null,
      value.next ? el("a", { href: `#/history/${value.service}/${value.next}` }, "older →") : null),
  ];
}

function byDay(rows, at) {
  const days = new Map();
  for (const row of rows) days.set(row[at].slice(0, 10), [...(days.get(row[at].slice(0, 10)) || []), row]);
  return days;
}

function historyLine(service, line) {
  const stages = Object.entries(line.stages);
  return el("li", { class: classed(line.phase) },
    el("p", { class: "row" }, el("a", { href: to(service, line.release) }, el("strong", {}, line.release)), named(line), phased(line.phase), clock(line.pushed_at)),
    el("p", {}, line.why),
    line.bypasses?.map((b) => el("p", { class: "loud" }, el("strong", {}, "Rules bypassed"), ` by ${b.by} until `, when(b.until), `: ${b.reason}`)),
    stages.some(([, phase]) => phase !== line.phase) ? el("p", { class: "soft small" }, stages.map(([s, p]) => `${s}: ${p}`).join(" · ")) : null);
}

// --- one release

const release = (service, label) => told(`api/release?service=${encodeURIComponent(service)}&number=${encodeURIComponent(label)}`);
const outside = (href, text) => (href ? [" ", el("a", { href, rel: "noreferrer", target: "_blank" }, text)] : []);

function releaseView(value, service) {
  const { line } = value, about = { service, release: line.release, stages: value.stages };
  const rows = [
    ...value.on.map((at) => [`On ${at.stage}`, [phased(at.phase), ` – ${at.why}`]]),
    ["Subject", line.subject], ["Author", line.author],
    ["Commit", line.commit ? [el("code", {}, line.commit), outside(value.commit_link, "the diff")] : ""],
    ["Tag", line.tag], ["Image", line.digest ? el("code", {}, line.digest) : ""], ["Pushed", when(line.pushed_at)],
    ["Changed", value.changed.length ? `${value.changed.join(", ")}${value.changed_count > value.changed.length ? ` and ${value.changed_count - value.changed.length} more` : ""}` : ""],
    ["Class", line.classes.join(", ")], ["Settings", value.settings.length ? `beside ${value.settings_than}: ${value.settings.join("; ")}` : ""], ["Note", value.note], ["Scan", value.findings], ["Rules", value.rules],
    ["Exported", Object.entries(value.exported).map(([k, v]) => `${k}=${v}`).join(", ")],
    ...value.builds.map((b) => ["Build", [el("code", {}, b.id), ` attempt ${b.attempt}: ${b.status.toLowerCase().replaceAll("_", " ")}`, outside(b.link, "its log")]]),
    ...value.deployments.map((d) => ["Deployment", [el("code", {}, d.id), ` to ${d.stage}, rollout ${d.rollout}: ${d.status.toLowerCase()}`, outside(d.link, "in CodeDeploy")]]),
  ].filter(([, what]) => shown(what));
  return [
    el("p", { class: "crumb" }, el("a", { href: `#/history/${service}` }, `Releases of ${service}`)),
    el("h1", {}, `${line.release} `, phased(line.phase)),
    el("p", {}, line.why),
    el("div", { "data-runs": `${service} ${line.release}` }, running(service, line.release)),
    line.log.length ? el("pre", { tabindex: "0", role: "region", "aria-label": "The last lines of its log" }, line.log.join("\n")) : null,
    el("p", { class: "buttons" }, value.words.map((w) => button(w, about))),
    value.builds.length ? buildLog(service, line) : null,
    el("h2", {}, "About it"), el("dl", {}, rows.map(([name, what]) => [el("dt", {}, name), el("dd", {}, what)])),
    el("h2", {}, "What happened"),
    value.said.some((row) => row.decision || row.minor) ? withDecisions() : null,
    sayings(value.said),
  ];
}

/** Steps and decisions are many; whoever wants to know how it came to something asks for them. */
function withDecisions() {
  const box = el("input", { type: "checkbox", id: "decisions", checked: main.classList.contains("plain") ? null : "" });
  box.addEventListener("change", () => main.classList.toggle("plain", !box.checked));
  return el("p", {}, el("label", { class: "check", for: "decisions" }, box, "with every step and the controller’s decisions"));
}

/** What its build wrote: read when it is unfolded, and again while the build runs. */
function buildLog(service, line) {
  const text = el("pre", { tabindex: "0", role: "region", "aria-label": `The log of the build of ${line.release}` }, "Reading …");
  const fold = el("details", { class: "log" }, el("summary", {}, "The build's log"), text);
  const read = async () => {
    if (!fold.open || !fold.isConnected) return;
    try {
      const log = await told(`api/log?service=${encodeURIComponent(service)}&number=${encodeURIComponent(line.release)}`);
      const end = text.scrollTop + text.clientHeight >= text.scrollHeight - 20;
      text.textContent = log.lines.join("\n") || "It wrote nothing yet.";
      if (end) text.scrollTop = text.scrollHeight;
      if (log.running) setTimeout(read, 2000);
    } catch (error) {
      text.textContent = error.message;
    }
  };
  fold.addEventListener("toggle", read);
  if (line.phase === "building") fold.open = true;
  return fold;
}

function sayings(rows) {
  return [...byDay(rows, "at")].map(([day, said]) => [
    el("h3", { class: "soft small" }, `${day}, UTC`),
    el("ol", { class: "line said" }, said.map((row, n) => el("li", { class: row.decision || row.minor ? "decision" : null }, clock(row.at),
      el("div", {}, row.says, row.log.length ? el("pre", { tabindex: "0", role: "region", "aria-label": `Log lines ${day} ${n}` }, row.log.join("\n")) : null)))),
  ]);
}

// --- the five keys

const fiveKeys = (service, stage, days) => told(`api/dora?service=${encodeURIComponent(service)}&stage=${encodeURIComponent(stage || "")}&days=${days || 90}`);

function fiveKeysView(value) {
  const { deployments, service, stages } = value, failed = deployments.filter((d) => d.restored_seconds !== null);
  const weeks = byWeek(value), cut = Date.parse(value.until) - Date.parse(value.since) < value.days * 86400000;
  const key = (name, figure, plot, how) => el("li", { class: "card" }, el("h2", {}, name), el("p", { class: "big" }, figure), deployments.length ? plot() : null, el("p", { class: "soft small" }, how));
  const link = (stage, days, text, current) => el("a", { href: `#/dora/${service}/${stage}/${days}`, "aria-current": current ? "true" : null }, text);
  return [
    el("h1", {}, `The five keys of ${service} on ${value.stage}`),
    el("nav", { class: "choice", "aria-label": "Which stage, and how far back" },
      stages.length > 1 ? stages.map((s) => link(s, value.days, s, s === value.stage)) : null,
      stages.length > 1 ? el("span", { class: "soft", "aria-hidden": "true" }, "|") : null,
      [30, 90, 365].map((days) => link(value.stage, days, `${days} days`, days === value.days))),
    el("p", { class: "lead" }, `Since ${value.since.slice(0, 10)}${cut ? ", the earliest that is read" : ""}: ${deployments.length} deployments, ${failed.length} of them rolled back. Rollouts that ended without the new release coming to life, and are not counted as deployments: ${Object.entries(value.refused).map(([stage, count]) => `${count} on ${stage}`).join(", ")}.`),
    el("ul", { class: "cards keys" },
      key("Lead time for changes", span(value.lead_seconds), () => dots(value, deployments, "lead_seconds", "Lead time"),
        "The median time from a push, of a commit or an image, until the release was live on this stage."),
      key("Deployment frequency", `${value.per_week.toFixed(1)} a week`, () => bars(weeks, (w) => w.count, () => 0, "Deployments"),
        "Rollouts that brought a new release to life. Rollbacks and restored releases are not counted."),
      key("Change failure rate", value.failure_rate === null ? "–" : `${Math.round(value.failure_rate * 100)} %`, () => bars(weeks, (w) => w.count, (w) => w.failed, "Deployments, and how many of them were rolled back"),
        "The share of those deployments that were rolled back, by a person or by an alarm."),
      key("Time to restore", span(value.restore_seconds), () => dots(value, failed, "restored_seconds", "Time to restore"),
        "The median time from when the bad release was live until its rollback was."),
      key("Rework rate", value.rework_rate === null ? "–" : `${Math.round(value.rework_rate * 100)} %`, () => bars(weeks, (w) => w.count, (w) => w.rework, "Deployments, and how many of them were rework"),
        "The share of those deployments that were the first one after a rollback: the fix.")),
    deployments.length ? table(value) : null,
  ];
}

const WIDE = 420, HIGH = 130, LEFT = 52, BOTTOM = 108, TOP = 12;
const label = (x, y, text, anchor = "start") => svg("text", { x, y, "text-anchor": anchor }, text);

function frame(most, from, until) {
  return [
    svg("line", { class: "grid", x1: LEFT, x2: WIDE, y1: TOP, y2: TOP }), svg("line", { class: "axis", x1: LEFT, x2: WIDE, y1: BOTTOM, y2: BOTTOM }),
    label(LEFT - 8, TOP + 4, most, "end"), label(LEFT - 8, BOTTOM + 4, "0", "end"), label(LEFT, HIGH - 6, from), label(WIDE, HIGH - 6, until, "end"),
  ];
}

function byWeek(value) {
  const week = 7 * 86400000, end = Date.parse(value.until), weeks = Math.max(1, Math.ceil((end - Date.parse(value.since)) / week));
  const rows = Array.from({ length: weeks }, (_, n) => ({ count: 0, failed: 0, rework: 0, from: new Date(end - (weeks - n) * week).toISOString().slice(0, 10) }));
  for (const d of value.deployments) {
    const row = rows[weeks - 1 - Math.min(weeks - 1, Math.floor((end - Date.parse(d.at)) / week))];
    row.count += 1;
    row.rework += d.rework ? 1 : 0;
    row.failed += d.restored_seconds === null ? 0 : 1;
  }
  return rows;
}

function bars(weeks, count, failed, name) {
  const most = Math.max(...weeks.map(count), 1), step = (WIDE - LEFT) / weeks.length, high = (n) => (n / most) * (BOTTOM - TOP);
  const bar = (n, at, kind) => svg("rect", { class: kind, x: LEFT + at * step + 1, width: Math.max(1, step - 2), y: BOTTOM - high(n), height: high(n) });
  const said = weeks.map((w) => (failed(w) ? `${count(w)} (${failed(w)})` : count(w))).join(", ");
  return svg("svg", { class: "plot", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `${name} in each week since ${weeks[0].from}, the oldest first: ${said}` },
    frame(String(most), weeks[0].from, "now"), weeks.flatMap((w, at) => [bar(count(w), at, "bar"), ...(failed(w) ? [bar(failed(w), at, "bar bad")] : [])]));
}

function dots(value, rows, name, title) {
  const known = rows.filter((d) => d[name] !== null), end = Date.parse(value.until), start = Date.parse(value.since);
  const most = Math.max(...known.map((d) => d[name]), 1);
  const x = (d) => LEFT + 5 + ((Date.parse(d.at) - start) / (end - start)) * (WIDE - LEFT - 10), y = (d) => BOTTOM - (d[name] / most) * (BOTTOM - TOP);
  return svg("svg", { class: "plot", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `${title} of ${known.length} deployments since ${value.since.slice(0, 10)}; the longest is ${span(most)}. All are in the table below.` },
    frame(known.length ? brief(most) : "", value.since.slice(0, 10), "now"),
    known.map((d) => (d.restored_seconds === null ? svg("circle", { class: "dot", r: 3.5, cx: x(d), cy: y(d) }) : svg("rect", { class: "bad", width: 7, height: 7, x: x(d) - 3.5, y: y(d) - 3.5 }))));
}

function table(value) {
  const rows = value.deployments.toReversed().slice(0, 100);
  return el("details", {}, el("summary", {}, "The deployments as a table"), el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The deployments" }, el("table", {},
    el("caption", {}, rows.length < value.deployments.length ? "The newest hundred deployments" : "Every deployment, the newest first"),
    el("thead", {}, el("tr", {}, ["Release", "Live", "Lead time", "Gone back from"].map((h) => el("th", { scope: "col" }, h)))),
    el("tbody", {}, rows.map((d) => el("tr", {}, el("th", { scope: "row" }, el("a", { href: to(value.service, `v${d.release}`) }, `v${d.release}`)), el("td", {}, when(d.at)), el("td", {}, span(d.lead_seconds)),
      el("td", {}, d.restored_seconds === null ? "no" : `after ${span(d.restored_seconds)}${d.rolled_back_by ? `, by ${d.rolled_back_by}` : ""}`)))))));
}

// --- which view

function place() {
  const [view = "", service = "", ...more] = location.hash.replace(/^#\//, "").split("/").map(decodeURIComponent);
  return { view, service: service || names?.[0] || "", more };
}

let asked = 0, answered = 0; // how often a view was asked for, and the latest that was drawn
async function show(moved = false) {
  const { view, service, more } = place(), at = location.hash;
  links(view, service);
  if (!names && !(view && service)) return; // the overview is drawn of what is told, as soon as it is
  const mine = (asked += 1);
  let value, draw;
  try {
    if (view === "history" && more[0] === "search") [value, draw] = [await history(service, "", more[1]), () => historyView(value, "", more[1])];
    else if (view === "history") [value, draw] = [await history(service, more[0]), () => historyView(value, more[0])];
    else if (view === "release") [value, draw] = [await release(service, more[0]), () => releaseView(value, service)];
    else if (view === "dora") [value, draw] = [await fiveKeys(service, more[0], more[1]), () => fiveKeysView(value)];
    else [value, draw] = [[...services.values()], overview];
  } catch (error) {
    [value, draw] = [error.message, () => [el("h1", {}, "That cannot be shown"), el("p", { class: "refused" }, error.message)]];
  }
  if (at !== location.hash || mine < answered || (ask.open && !moved)) return; // it is not wanted any more, or somebody is about to say a word
  answered = mine;
  const text = location.hash + JSON.stringify(value, (key, part) => (key === "until" && view === "dora" ? undefined : part));
  if (text === drawn) return;
  drawn = text;
  put(draw(), moved);
}

const keyOf = (it) => it.dataset.key || it.id || it.getAttribute("href") || it.tagName;

function put(parts, moved) {
  // what has the focus keeps it when it is drawn again, and what was unfolded stays so
  const held = main.contains(document.activeElement) && document.activeElement !== main ? keyOf(document.activeElement) : null;
  const open = main.querySelector("details")?.open && !moved;
  main.replaceChildren(...parts.flat(9).filter(shown));
  main.setAttribute("aria-busy", "false");
  if (open && main.querySelector("details")) main.querySelector("details").open = true;
  document.title = `${main.querySelector("h1").textContent} – esteira`;
  if (moved) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  } else if (held) (heir(held) || main).focus({ preventScroll: true });
}

/** What the focus goes to: the same thing drawn anew, or, of a button that is there no more, another one about the same. */
function heir(key) {
  const all = [...main.querySelectorAll("a, button, input, summary, [tabindex]")], about = key.replace(/^\S+ /, " ");
  return all.find((it) => keyOf(it) === key) || all.findLast((it) => it.dataset.key?.endsWith(about));
}

function links(view, service) {
  const nav = byId("views"), text = JSON.stringify([view, service, names]);
  if (nav.dataset.drawn === text) return;
  nav.dataset.drawn = text;
  const link = (href, name, current) => el("a", { href, "aria-current": current ? "page" : null }, name);
  const held = document.activeElement?.parentElement === nav ? keyOf(document.activeElement) : null;
  const choice = names?.length > 1 ? el("select", { "aria-label": "Service" }, names.map((n) => el("option", { value: n, selected: n === service }, n))) : null;
  choice?.addEventListener("change", () => { location.hash = `#/${view === "dora" ? "dora" : "history"}/${choice.value}`; });
  nav.replaceChildren(...[link("#/", "Live", !view), choice, link(`#/history/${service}`, "History", view === "history"), link(`#/dora/${service}`, "Five keys", view === "dora")].filter(shown));
  if (held) [...nav.children].find((it) => keyOf(it) === held)?.focus();
}

addEventListener("hashchange", () => location.hash.startsWith("#/") || !location.hash ? show(true) : null);
byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says which view it is
  main.focus();
});

// --- what changes

/** What a screen reader is told when it changes, a sentence each. */
function sentences(service) {
  return service.stages.flatMap((stage) => [
    stage.live ? `${stage.live.release} of ${service.service} is live on ${stage.stage}.` : null,
    stage.hold ? `${stage.stage} of ${service.service} is held.` : null,
    ...stage.under_way.map((line) => `${line.release} of ${service.service} is ${line.phase}.`),
    ...stage.bypasses.map((b) => `The rules of ${stage.stage} are bypassed for ${b.release}.`),
  ]).filter(shown);
}

function listen() {
  const changes = new EventSource("api/changes");
  const hear = (kind, then) => changes.addEventListener(kind, (event) => then(JSON.parse(event.data)));
  hear("hello", (told) => {
    ({ by, where } = told);
    fine();
  });
  hear("service", (service) => {
    const before = services.get(service.service);
    services.set(service.service, service);
    fine();
    if (!names) return; // the others are on their way
    const old = before ? sentences(before) : [];
    const news = sentences(service).filter((one) => !old.includes(one));
    if (news.length) heard.textContent = news.join(" ");
    show();
  });
  hear("running", (told) => {
    runs.set(told.service, told.running);
    drawRunning();
  });
  hear("services", (told) => {
    const first = !names;
    names = told;
    for (const gone of [...services.keys()].filter((name) => !names.includes(name))) services.delete(gone);
    const { view, service } = place();
    if (asked && (view === "dora" || (first && view))) links(view, service); // nothing is read twice for one moment
    else show();
  });
  hear("trouble", ({ error }) => {
    lost(error);
    if (!names && !place().view) put([el("h1", {}, "That cannot be shown"), el("p", { class: "refused" }, error)]);
  });
  hear("clock", (told) => {
    ahead = Date.parse(told.now) - Date.now();
    drawRunning();
    for (const it of main.querySelectorAll("[data-since]")) if (it.textContent !== passed(it.dataset.since)) it.textContent = passed(it.dataset.since);
  });
  changes.onerror = () => lost("esteira ui does not answer; this is its last answer");
}

function fine() {
  state(`as ${by}, ${where}`, false);
}

function lost(text) {
  state(text, true);
}

function state(text, isLost) {
  if (pulse.textContent !== text) pulse.textContent = text;
  pulse.classList.toggle("lost", isLost);
}

main.classList.add("plain");
listen();
show();
