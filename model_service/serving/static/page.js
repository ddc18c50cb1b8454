// What the page adds to Shiny: the values survive a reload, a change of language and a replaced container; a broken
// connection is restored without a grey page; and each message about a wrong value appears at its field.
(() => {
  "use strict";

  const STORE = "model-page"; // for this tab only, until it is closed
  const WAITS = [200, 500, 1000, 2000, 3000]; // milliseconds between attempts to connect; the last one repeats
  const RELOAD_PAUSE = 30000; // while two releases serve, the page must not reload in a loop

  const form = document.getElementById("form");
  const ask = document.getElementById("ask");
  const away = document.getElementById("away");
  const fields = [...form.querySelectorAll("input[type=text]:not([hidden]), input[type=radio], textarea")];
  const written = (field) => field.type === "text" || field.type === "textarea";
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  // --- what was typed -------------------------------------------------------------------------------------------

  function stored() {
    try {
      return JSON.parse(sessionStorage.getItem(STORE)) || {};
    } catch {
      return {}; // storage is disabled, or its content is not from this page
    }
  }

  function store(changes) {
    try {
      sessionStorage.setItem(STORE, JSON.stringify({ ...stored(), ...changes }));
    } catch {
      // without storage, a reload loses the values
    }
  }

  function typed() {
    const values = {};
    for (const field of fields) {
      if (written(field)) values[field.id] = field.value;
      else if (field.checked) values[field.name] = field.value;
    }
    return values;
  }

  function fill(values) {
    for (const field of fields) {
      if (written(field)) field.value = values[field.id] || "";
      else field.checked = field.value === (values[field.name] || "");
    }
  }

  // This runs before Shiny reads the form, so these are the session's first values.
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
    window.Shiny.setInputValue("ask:shiny.action", 0); // Shiny's name for a button
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
      if (field.matches("input, textarea")) {
        if (sentence) field.setAttribute("aria-invalid", "true");
        else field.removeAttribute("aria-invalid");
      }
    }
  });

  window.Shiny.addCustomMessageHandler("asked", ({ wrong }) => {
    if (wrong) {
      const field = document.getElementById(wrong);
      (field.matches("input, textarea") ? field : field.querySelector("input")).focus();
      return;
    }
    const answer = document.getElementById("answer");
    const { top } = answer.getBoundingClientRect();
    if (top < 0 || top > innerHeight * 0.6) {
      answer.scrollIntoView({ behavior: calm.matches ? "auto" : "smooth", block: "start" });
    }
  });

  // Another release may have other fields and texts, so the page of the release that answers is loaded.
  window.Shiny.addCustomMessageHandler("version", ({ version }) => {
    if (version === document.body.dataset.version) return;
    const { reloaded = 0 } = stored();
    if (Date.now() - reloaded < RELOAD_PAUSE) return;
    store({ typed: typed(), reloaded: Date.now(), focus: document.activeElement?.id || null });
    location.reload();
  });

  // A link to a field focuses its input and does not change the address.
  document.getElementById("answer").addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (!link) return;
    event.preventDefault();
    const field = document.getElementById(link.hash.slice(1));
    (field.matches("input, textarea") ? field : field.querySelector("input")).focus();
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
      app.reconnect(); // sends all values to the container that answers
    }
    const wait = WAITS[Math.min(tries, WAITS.length - 1)];
    timer = setTimeout(connect, wait * (0.8 + 0.4 * Math.random())); // so that pages do not all connect at once
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
  timer = setTimeout(connect, WAITS[WAITS.length - 1]); // if the first connection fails
})();
