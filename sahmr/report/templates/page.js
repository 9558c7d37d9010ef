"use strict";
// One view is open at a time: closing its frame frees the graphics memory, which a phone has little of.
(() => {
  const text = (id) => document.getElementById(id).textContent;
  const shared = JSON.parse(text("shared"));
  const style =
    "html,body{margin:0;overflow:hidden;background:#fafaf8}.scenepic-canvas-container{border:0!important}" +
    ".scenepic-canvas{width:100vw!important;height:100vh!important}#view>.scenepic~.scenepic{display:none!important}" +
    ".zoom{position:fixed;left:8px;bottom:8px}.zoom button{width:34px;height:34px;margin-right:6px;border:0;" +
    "border-radius:17px;background:#282a2ecc;color:#fff;font:20px/1 system-ui,sans-serif;cursor:pointer}";
  const zoom = // fingers have no wheel and no keys
    'document.querySelector(".reset").addEventListener("click", () => ' +
    'document.querySelector(".scenepic-icon-resetcamera").click());' +
    'for (const button of document.querySelectorAll(".zoom button[value]")) button.addEventListener("click", () => ' +
    'document.querySelector(".scenepic-canvas").dispatchEvent(new WheelEvent("wheel", ' +
    "{deltaY: Number(button.value), bubbles: true, cancelable: true})));";

  function commandsOf(number) {
    const commands = JSON.parse(text(`scene-${number}`), (_, value) =>
      typeof value === "string" && value.startsWith("@") ? shared[Number(value.slice(1))] : value,
    );
    return JSON.stringify(commands);
  }

  function close() {
    for (const viewer of document.querySelectorAll(".viewer:not([hidden])")) {
      viewer.replaceChildren();
      viewer.hidden = true;
    }
    for (const button of document.querySelectorAll(".turn[aria-expanded=true]")) button.setAttribute("aria-expanded", "false");
  }

  function open(button) {
    close();
    const number = button.dataset.scene;
    const viewer = document.getElementById(`viewer-${number}`);
    const frame = document.createElement("iframe");
    frame.title = button.getAttribute("aria-label");
    frame.srcdoc =
      `<!doctype html><meta charset="utf-8"><style>${style}</style><div id="view"></div><div class="zoom">` +
      '<button value="-80" aria-label="nearer">+</button><button value="80" aria-label="farther">\u2212</button>' +
      '<button class="reset" aria-label="as at first">\u21ba</button></div>' +
      `<script>${text("scenepic")}<\/script><script>scenepic("view",${commandsOf(number)});${zoom}<\/script>`;
    const hint = document.createElement("p");
    hint.textContent = "Drag to turn, wheel or + to come nearer, shift and drag to move; the corner's menu hides and fades layers. ";
    const done = document.createElement("button");
    done.type = "button";
    done.textContent = "Close";
    done.addEventListener("click", close);
    hint.append(done);
    viewer.replaceChildren(frame, hint);
    viewer.hidden = false;
    button.setAttribute("aria-expanded", "true");
  }

  const buttons = [...document.querySelectorAll(".turn")];
  for (const button of buttons)
    button.addEventListener("click", () => (button.getAttribute("aria-expanded") === "true" ? close() : open(button)));
  if (buttons.length === 1) open(buttons[0]);
})();
