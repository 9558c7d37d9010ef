"use strict";
// One view is open at a time: closing its frame frees the graphics memory, which a phone has little of.
(() => {
  const text = (id) => document.getElementById(id).textContent;
  const shared = JSON.parse(text("shared"));
  const style =
    "html,body,#view,#view>div,#view canvas{margin:0;width:100%!important;height:100%!important;border:0!important;" +
    "overflow:hidden;box-sizing:border-box}.scenepic-controls,#view>.scenepic~.scenepic{display:none!important}";

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
      `<!doctype html><meta charset="utf-8"><style>${style}</style><div id="view"></div>` +
      `<script>${text("scenepic")}<\/script><script>scenepic("view",${commandsOf(number)})<\/script>`;
    const hint = document.createElement("p");
    hint.textContent = "Drag to turn, wheel to come nearer, shift and drag to move; the corner's menu hides and fades layers. ";
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
