"use strict";
// All frames are typed arrays; rows become elements only while they are in sight.
(async () => {
  const place = (id) => document.getElementById(id);
  const state = place("state");
  if (!state) return;
  const ROW_PX = 32;
  const about = JSON.parse(place("about").textContent);

  async function unpack() {
    const text = atob(place("table").textContent);
    const packed = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
    place("table").remove();
    const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const data = await new Response(plain).arrayBuffer();
    const begin = 4 + new DataView(data).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, begin - 4)));
    const kinds = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array };
    const read = (column) => {
      const bytes = new Uint8Array(data, begin + column.at, column.bytes);
      if (column.kind in kinds) {
        const kind = kinds[column.kind];
        const codes = new kind(data, begin + column.at, column.bytes / kind.BYTES_PER_ELEMENT);
        if (column.names) return { codes, names: column.names, at: (i) => (codes[i] ? column.names[codes[i] - 1] : "") };
        const digits = Math.max(0, Math.round(-Math.log10(column.step)));
        return { codes, digits, at: (i) => (codes[i] ? (codes[i] - 1) * column.step : NaN) };
      }
      if (column.kind === "hex")
        return { at: (i) => [...bytes.subarray(6 * i, 6 * i + 6)].map((byte) => byte.toString(16).padStart(2, "0")).join("") };
      let texts; // most are looked at never
      const all = () => (texts ??= new TextDecoder().decode(bytes).split("\0"));
      return { all, at: (i) => all()[i] };
    };
    const table = (found) => ({
      rows: found.rows,
      ...Object.fromEntries(Object.entries(found.columns).map(([name, column]) => [name, read(column)])),
    });
    return Object.fromEntries(Object.entries(header).map(([name, found]) => [name, table(found)]));
  }

  let tables;
  try {
    tables = await unpack();
  } catch (problem) {
    state.textContent = `The table cannot be unpacked here (${problem.message}); a browser of 2023 or later can.`;
    return;
  }
  const { frames, scores, predictions } = tables;
  const main = "global_mpjpe_mm";
  const first = scores.predictor.names.findIndex((name) => name === (predictions.predictor.names[0] ?? "")) + 1 || 1;
  const error = new Float32Array(frames.rows).fill(NaN);
  for (let i = 0; i < scores.rows; i++) if (scores.predictor.codes[i] === first) error[scores.row.at(i)] = scores[main].at(i);

  // ---- filters
  const form = place("filters");
  const LISTS = ["dataset", "split", "sequence", "scene_key", "subject", "camera"];
  const field = (name) => form.elements.namedItem(name);
  const whole = (number) => number.toLocaleString("en");

  function test(name) {
    const chosen = field(name).value;
    if (chosen === "") return null;
    const codes = frames[name].codes;
    const code = Number(chosen);
    return (i) => codes[i] === code;
  }

  function tests(without) {
    const found = LISTS.filter((name) => name !== without).map(test).filter(Boolean);
    const has = { body: frames.body_file, contact: frames.contact_file };
    const labels = field("labels").value;
    if (labels) {
      const files = has[labels.replace("no-", "")].all();
      found.push(labels.startsWith("no-") ? (i) => files[i] === "" : (i) => files[i] !== "");
    }
    const made = field("made").value;
    if (made === "scored") found.push((i) => error[i] === error[i]);
    else if (made) found.push((i) => (frames.shard.codes[i] > 0) === (made === "shard"));
    const height = frames.person_px.codes; // one more than the value
    const [least, most] = [field("least").value, field("most").value];
    if (least !== "") found.push((i) => height[i] - 1 >= Number(least));
    if (most !== "") found.push((i) => height[i] - 1 <= Number(most));
    const text = field("text").value.trim().toLowerCase();
    if (text) {
      const keys = frames.key.all();
      found.push((i) => keys[i].toLowerCase().includes(text));
    }
    return found;
  }

  // How many frames each choice would leave, all other filters as they are.
  function offer() {
    for (const name of LISTS) {
      const column = frames[name];
      const counts = new Map();
      const others = tests(name);
      for (let i = 0; i < frames.rows; i++)
        if (others.every((one) => one(i))) counts.set(column.codes[i], (counts.get(column.codes[i]) ?? 0) + 1);
      const select = field(name);
      const chosen = select.value;
      if (chosen !== "" && !counts.has(Number(chosen))) counts.set(Number(chosen), 0);
      const label = (code) => (column.names ? column.names[code - 1] ?? "unknown" : String(code - 1));
      const codes = [...counts.keys()].sort((a, b) => label(a).localeCompare(label(b), "en", { numeric: true }));
      select.replaceChildren(
        new Option("all", ""),
        ...codes.map((code) => new Option(`${label(code)} (${whole(counts.get(code))})`, code, false, String(code) === chosen)),
      );
    }
  }

  // ---- rows
  let shown = new Uint32Array(0);
  let sorted = { name: "", down: false };
  let current = -1;
  const box = place("rows");
  const space = place("space");
  const text = (value, digits = 0) => (value === value ? value.toFixed(digits) : "");
  const errorName = `${about.scores[main][0]} ${about.scores[main][1]}`;
  const COLUMNS = [
    { name: "key", title: "key", at: (i) => frames.key.at(i) },
    { name: "dataset", title: "dataset", at: (i) => frames.dataset.at(i), css: "more" },
    { name: "split", title: "split", at: (i) => frames.split.at(i) },
    { name: "sequence", title: "sequence", at: (i) => frames.sequence.at(i), css: "more" },
    { name: "scene_key", title: "scene", at: (i) => frames.scene_key.at(i), css: "more" },
    { name: "camera", title: "camera", at: (i) => text(frames.camera.at(i)), of: (i) => frames.camera.codes[i], css: "more number" },
    { name: "person_px", title: "person px", at: (i) => text(frames.person_px.at(i)), of: (i) => frames.person_px.codes[i], css: "more number" },
    { name: "error", title: errorName, at: (i) => text(error[i]), of: (i) => error[i], css: "number" },
  ];

  function make(name, className, content) {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (content !== undefined) element.textContent = content;
    return element;
  }

  function head() {
    place("head").replaceChildren(
      ...COLUMNS.map((column) => {
        const mark = sorted.name !== column.name ? "" : sorted.down ? " \u2193" : " \u2191";
        const button = make("button", column.css, column.title + mark);
        button.type = "button";
        button.title = `sort by ${column.title}`;
        button.addEventListener("click", () => {
          sorted = { name: column.name, down: sorted.name === column.name ? !sorted.down : column.name === "error" };
          sort();
          head();
          box.scrollTop = 0;
          draw();
        });
        return button;
      }),
    );
  }

  function sort() {
    const column = COLUMNS.find((one) => one.name === sorted.name);
    if (!column) return;
    const sign = sorted.down ? -1 : 1;
    if (column.of) {
      const last = (value) => (value === value ? sign * value : Infinity); // unknown ones stand last
      shown.sort((a, b) => last(column.of(a)) - last(column.of(b)) || a - b);
      return;
    }
    const names = frames[column.name].names ?? frames[column.name].all();
    const rank = new Uint32Array(names.length); // texts are compared once each
    [...names.keys()].sort((a, b) => (names[a] < names[b] ? -1 : 1)).forEach((one, number) => (rank[one] = number));
    const codes = frames[column.name].codes;
    const of = codes ? (i) => rank[codes[i] - 1] : (i) => rank[i];
    shown.sort((a, b) => sign * (of(a) - of(b)) || a - b);
  }

  function filter() {
    const found = tests();
    const kept = new Uint32Array(frames.rows);
    let count = 0;
    for (let i = 0; i < frames.rows; i++) if (found.every((one) => one(i))) kept[count++] = i;
    shown = kept.slice(0, count);
    sort();
    offer();
    state.textContent = `${whole(count)} of ${whole(frames.rows)} frames`;
    box.scrollTop = 0;
    draw();
  }

  function draw() {
    space.style.height = `${shown.length * ROW_PX}px`;
    const begin = Math.max(0, Math.floor(box.scrollTop / ROW_PX) - 4);
    const end = Math.min(shown.length, begin + Math.ceil(box.clientHeight / ROW_PX) + 8);
    const rows = [];
    for (let at = begin; at < end; at++) {
      const i = shown[at];
      const row = make("button", "row");
      row.type = "button";
      row.style.transform = `translateY(${at * ROW_PX}px)`;
      row.dataset.row = i;
      if (i === current) row.setAttribute("aria-current", "true");
      row.append(...COLUMNS.map((column) => make("span", column.css, column.at(i))));
      rows.push(row);
    }
    space.replaceChildren(...rows);
  }

  // ---- where a sample comes from
  function raw(list, role, folder, path, sha256) {
    const line = make("li");
    line.append(`${role} `, make("code", "", `${folder}/${path}`), make("span", "sha", ` sha256 ${sha256.slice(0, 12)}\u2026`));
    list.append(line);
  }

  function step(road, title, ...parts) {
    const line = make("li");
    line.append(make("h4", "", title), ...parts.map((part) => (typeof part === "string" ? make("p", "", part) : part)));
    road.append(line);
  }

  function files(i, of) {
    const list = make("ul");
    for (const role of ["image", "body", "contact"])
      if (frames[`${role}_file`].at(i)) raw(list, role, of.raw, frames[`${role}_file`].at(i), frames[`${role}_sha256`].at(i));
    for (const [role, path, sha256] of of.scans[frames.scene_key.at(i)] ?? []) raw(list, role, of.raw, path, sha256);
    return list;
  }

  function details(title, entries) {
    const found = make("details");
    const list = make("dl", "facts");
    for (const [name, value] of entries) list.append(make("dt", "", name), make("dd", "", value));
    found.append(make("summary", "", `${title} (${entries.length})`), list);
    return found;
  }

  function stages(of) {
    const said = ({ stage, version, params, makes }) => [
      stage,
      [version ? `version ${version}` : "", Object.keys(params).join(", "), makes.length ? `makes ${makes.join(", ")}` : ""].filter(Boolean).join("; "),
    ];
    return details("stages up to the scores", of.steps.map(said));
  }

  function made(road, i, of) {
    const there = frames.shard.at(i);
    const start = frames.offset.at(i);
    if (there)
      step(road, "shard", `${of.shards}/${there}, bytes ${whole(start)} to ${whole(start + frames.length.at(i))}, sha256 ${frames.sample_sha256.at(i)}\u2026`);
    else step(road, "shard", "no shard has it; left_out.parquet beside the shards says why");
    for (let k = 0; k < predictions.rows; k++)
      if (predictions.row.at(k) === i) {
        const name = predictions.predictor.at(k);
        step(road, `prediction of ${name}`, `${of.predictions[name]}, ${whole(predictions.contact_count.at(k))} contact points`);
      }
    for (let k = 0; k < scores.rows; k++)
      if (scores.row.at(k) === i) {
        const values = Object.entries(about.scores).map(([name, [title, unit]]) => {
          const value = scores[name].at(k);
          return value === value ? `${title} ${value.toFixed(scores[name].digits)}${unit ? ` ${unit}` : ""}` : "";
        });
        step(road, `scores of ${scores.predictor.at(k)}`, `${scores.posture.at(k)}, ${text(scores.distance_m.at(k), 2)} m away: ${values.filter(Boolean).join(", ")}`);
      }
  }

  function open(i, mayScroll) {
    current = i;
    const of = about.datasets[frames.dataset.at(i)];
    const key = frames.key.at(i);
    const panel = place("lineage");
    const road = make("ol", "road");
    const subject = frames.subject.at(i);
    step(road, "raw files", files(i, of));
    step(road, "chosen by the rules of its dataset", details("rules of selection", Object.entries(of.rules)), stages(of));
    made(road, i, of);
    const commands = make("p", "soft");
    commands.append(make("code", "", `python -m catalog lineage ${key}`), " also says which code ran; ", make("code", "", `python -m catalog preview ${key}`), " draws it.");
    panel.replaceChildren(
      make("h3", "", key),
      make("p", "soft", `${of.title}: split ${frames.split.at(i)}, sequence ${frames.sequence.at(i)}, camera ${text(frames.camera.at(i))}, ` +
        `frame ${text(frames.frame.at(i))}, subject ${subject} (${frames.gender.at(i)}), person ${text(frames.person_px.at(i))} px tall, ` +
        `box from ${frames.box_source.at(i)}${frames.mirrored.at(i) ? ", file mirrored" : ""}`),
      road,
      commands,
      make("p", "soft", of.notice),
    );
    panel.hidden = false;
    history.replaceState(null, "", `#key=${encodeURIComponent(key)}`);
    draw();
    if (mayScroll) panel.scrollIntoView({ block: "nearest" });
  }

  function follow() {
    if (!location.hash.startsWith("#key=")) return;
    const row = frames.key.all().indexOf(decodeURIComponent(location.hash.slice(5)));
    if (row < 0 || row >= frames.rows) return;
    open(row, false);
    place("lineage").scrollIntoView({ block: "center" });
  }

  let waiting = 0;
  const later = () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 120); // letters come faster than a filter over all frames
  };
  form.addEventListener("input", (event) => (event.target.tagName === "INPUT" ? later() : filter()));
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  box.addEventListener("scroll", () => requestAnimationFrame(draw));
  addEventListener("resize", draw);
  addEventListener("hashchange", follow);
  space.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row) open(Number(row.dataset.row), true);
  });
  for (const element of [form, place("head"), box]) element.hidden = false;
  head();
  filter();
  follow();
  document.documentElement.dataset.ready = Math.round(performance.now()); // when the table answers, ms after the start
})();
