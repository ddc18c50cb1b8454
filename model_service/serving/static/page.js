// What Shiny leaves to the page: what was typed outlives a reload, a change of language and the container it was sent to;
// a broken connection is mended without a grey page; and what the server finds wrong is said at the field.
(() => {
  "use strict";

  const STORE = "heart-page"; // of this tab alone, gone with it
  const WAITS = [200, 500, 1000, 2000, 3000]; // milliseconds between tries to connect; the last one repeats
  const RELOAD_PAUSE = 30000; // with two releases serving at once the page must not reload for ever

  const form = document.getElementById("form");
  const ask = document.getElementById("ask");
  const away = document.getElementById("away");
  const fields = [...form.querySelectorAll("input[type=text]:not([hidden]), input[type=radio]")];
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  // --- what was typed -------------------------------------------------------------------------------------------

  function stored() {
    try {
      return JSON.parse(sessionStorage.getItem(STORE)) || {};
    } catch {
      return {}; // storage is switched off, or not ours
    }
  }

  function store(changes) {
    try {
      sessionStorage.setItem(STORE, JSON.stringify({ ...stored(), ...changes }));
    } catch {
      // without storage only a reload loses what was typed
    }
  }

  function typed() {
    const values = {};
    for (const field of fields) {
      if (field.type === "text") values[field.id] = field.value;
      else if (field.checked) values[field.name] = field.value;
    }
    return values;
  }

  function fill(values) {
    for (const field of fields) {
      if (field.type === "text") field.value = values[field.id] || "";
      else field.checked = field.value === (values[field.name] || "");
    }
  }

  // This runs before Shiny reads the form, which then sends these as the session's first values.
  const before = stored();
  fill(before.typed || {});
  if (before.asked) ask.dataset.val = "1";
  if (before.focus) document.getElementById(before.focus)?.focus();
  store({ focus: null });

  form.addEventListener("input", () => store({ typed: typed() }));
  form.addEventListener("submit", (event) => event.preventDefault());
  ask.addEventListener("click", () => store({ typed: typed(), asked: true }));

  document.getElementById("clear").addEventListener("click", () => {
    fill({});
    store({ typed: {}, asked: false });
    for (const field of fields) window.jQuery(field).trigger("change");
    window.jQuery(ask).data("val", 0);
    window.Shiny.setInputValue("ask:shiny.action", 0); // under the name by which Shiny sends a button
    fields[0].focus();
  });

  // --- what the server says -------------------------------------------------------------------------------------

  window.Shiny.addCustomMessageHandler("problems", (problems) => {
    for (const problem of form.querySelectorAll(".problem")) {
      const name = problem.id.replace(/-problem$/, "");
      const field = document.getElementById(name);
      const sentence = problems[name] || "";
      problem.textContent = sentence;
      field.classList.toggle("wrong", sentence !== "");
      field.setAttribute("aria-describedby", sentence ? `${name}-problem ${name}-help` : `${name}-help`);
      if (field.matches("input")) {
        if (sentence) field.setAttribute("aria-invalid", "true");
        else field.removeAttribute("aria-invalid");
      }
    }
  });

  window.Shiny.addCustomMessageHandler("asked", ({ wrong }) => {
    if (wrong) {
      const field = document.getElementById(wrong);
      (field.matches("input") ? field : field.querySelector("input")).focus();
      return;
    }
    const answer = document.getElementById("answer");
    const { top } = answer.getBoundingClientRect();
    if (top < 0 || top > innerHeight * 0.6) {
      answer.scrollIntoView({ behavior: calm.matches ? "auto" : "smooth", block: "start" });
    }
  });

  // A page of another release may ask for other values and say other words: load the one that belongs to the server.
  window.Shiny.addCustomMessageHandler("version", ({ version }) => {
    if (version === document.body.dataset.version) return;
    const { reloaded = 0 } = stored();
    if (Date.now() - reloaded < RELOAD_PAUSE) return;
    store({ typed: typed(), reloaded: Date.now(), focus: document.activeElement?.id || null });
    location.reload();
  });

  // A link to a field leads into it, and leaves the address as it was.
  document.getElementById("answer").addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (!link) return;
    event.preventDefault();
    const field = document.getElementById(link.hash.slice(1));
    (field.matches("input") ? field : field.querySelector("input")).focus();
  });

  // --- the connection -------------------------------------------------------------------------------------------

  let tries = 0;
  let timer = 0;
  let wasAway = false;

  function connect() {
    clearTimeout(timer);
    const app = window.Shiny.shinyapp;
    if (app && !app.isConnected()) {
      if (tries > 1) {
        wasAway = true;
        away.textContent = away.dataset.away;
      }
      tries += 1;
      app.reconnect(); // sends all values to whatever answers
    }
    const wait = WAITS[Math.min(tries, WAITS.length - 1)];
    timer = setTimeout(connect, wait * (0.8 + 0.4 * Math.random())); // not everybody at once
  }

  function connected() {
    clearTimeout(timer);
    tries = 0;
    if (!wasAway) return;
    wasAway = false;
    away.textContent = away.dataset.back;
    setTimeout(() => {
      if (!wasAway) away.textContent = "";
    }, 4000);
  }

  window.jQuery(document).on("shiny:connected", connected);
  window.jQuery(document).on("shiny:disconnected", () => {
    timer = setTimeout(connect, WAITS[0]);
  });
  window.addEventListener("online", () => wasAway && connect());
  timer = setTimeout(connect, WAITS[WAITS.length - 1]); // when even the first connection fails
})();
