"use strict";
// All frames are typed arrays; rows become elements only while they are in sight.
(async () => {
  const place = (id) => document.getElementById(id);
  const state = place("state");
  if (!state) return;
  const ROW_PX = 32;
  const about = JSON.parse(place("about").textContent);

  function bytesOf(base64) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  }

  async function unpack() {
    const packed = bytesOf(place("table").textContent);
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
  const methods = scores.predictor.names;
  const first = methods.indexOf(predictions.predictor.names[0]) + 1 || 1; // whose errors stand in the rows
  const error = new Float32Array(frames.rows).fill(NaN);
  for (let i = 0; i < scores.rows; i++) if (scores.predictor.codes[i] === first) error[scores.row.at(i)] = scores[main].at(i);

  // ---- filters
  const form = place("filters");
  const LISTS = ["dataset", "split", "sequence", "scene_key", "subject", "camera"];
  const field = (name) => form.elements.namedItem(name);
  const whole = (number) => number.toLocaleString("en");

  // One test per filter in use, by its name: whether a row passes.
  function tests() {
    const found = [];
    for (const name of LISTS) {
      const { codes } = frames[name];
      const code = Number(field(name).value);
      if (field(name).value !== "") found.push([name, (i) => codes[i] === code]);
    }
    const labels = field("labels").value;
    if (labels) {
      const files = (labels.endsWith("body") ? frames.body_file : frames.contact_file).all();
      found.push(["", labels.startsWith("no-") ? (i) => files[i] === "" : (i) => files[i] !== ""]);
    }
    const made = field("made").value;
    const shards = frames.shard.codes;
    if (made === "scored") found.push(["", (i) => error[i] === error[i]]);
    else if (made) found.push(["", (i) => shards[i] > 0 === (made === "shard")]);
    const height = frames.person_px.codes; // one more than the value
    const [least, most] = [field("least").value, field("most").value];
    if (least !== "") found.push(["", (i) => height[i] - 1 >= Number(least)]);
    if (most !== "") found.push(["", (i) => height[i] - 1 <= Number(most)]);
    const text = field("text").value.trim().toLowerCase();
    if (text) {
      const keys = frames.key.all();
      found.push(["", (i) => keys[i].toLowerCase().includes(text)]);
    }
    return found;
  }

  const largest = (codes) => codes.reduce((most, code) => Math.max(most, code), 0);
  const sizes = LISTS.map((name) => 1 + (frames[name].names?.length ?? largest(frames[name].codes)));

  // Rows that pass all tests; and how many each choice of a list would leave: those pass all tests but that list's own.
  function pass() {
    const found = tests();
    const kept = new Uint32Array(frames.rows);
    const counts = LISTS.map((_, k) => new Uint32Array(sizes[k]));
    const codes = LISTS.map((name) => frames[name].codes);
    let count = 0;
    for (let i = 0; i < frames.rows; i++) {
      let failed = null;
      let fails = 0;
      for (let k = 0; k < found.length && fails < 2; k++)
        if (!found[k][1](i)) {
          fails++;
          failed = found[k][0];
        }
      if (fails === 0) {
        kept[count++] = i;
        for (let k = 0; k < codes.length; k++) counts[k][codes[k][i]]++;
      } else if (fails === 1 && failed) {
        const k = LISTS.indexOf(failed);
        counts[k][codes[k][i]]++;
      }
    }
    return [kept.slice(0, count), counts];
  }

  const compare = new Intl.Collator("en", { numeric: true }).compare;
  function offer(counts) {
    LISTS.forEach((name, k) => {
      const column = frames[name];
      const select = field(name);
      const chosen = select.value;
      const label = (code) => (column.names ? column.names[code - 1] ?? "unknown" : String(code - 1));
      const codes = [...counts[k].keys()].filter((code) => counts[k][code] > 0 || String(code) === chosen);
      codes.sort((a, b) => compare(label(a), label(b)));
      select.replaceChildren(
        new Option("all", ""),
        ...codes.map((code) => new Option(`${label(code)} (${whole(counts[k][code])})`, code, false, String(code) === chosen)),
      );
    });
  }

  // ---- rows
  let shown = new Uint32Array(0);
  let sorted = { name: "", down: false };
  let current = -1;
  const box = place("rows");
  const space = place("space");
  const text = (value, digits = 0) => (value === value ? value.toFixed(digits) : "");
  const errorName = [about.scores[main].join(" "), methods[first - 1]].filter(Boolean).join(", ");
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
    const [kept, counts] = pass();
    shown = kept;
    sort();
    offer(counts);
    state.textContent = `${whole(shown.length)} of ${whole(frames.rows)} frames`;
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
    let key;
    try {
      key = decodeURIComponent(location.hash.slice(5));
    } catch {
      return; // not an address that this page made
    }
    const row = key === "" ? -1 : frames.key.all().indexOf(key);
    if (row < 0) return;
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
