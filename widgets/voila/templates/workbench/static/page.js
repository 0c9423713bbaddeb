// What a page does besides Voila: theme and width (told to the kernel through two hidden menus),
// the recorded figure shown while the kernel starts, names for controls that lack one, the
// address that restores what is shown, and the end of the kernel with the page.
"use strict";
const workbench = (() => {
  const WIDTHS = [360, 480, 640, 800, 960, 1100];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  const choice = () => {
    try { return localStorage.getItem("workbench-theme") || "system"; } catch { return "system"; }
  };
  const theme = () => (choice() === "system" ? (dark.matches ? "dark" : "light") : choice());
  const width = () => {
    const place = $(".wb-figure-place") || $("#rendered_cells") || document.body;
    const room = Math.max(place.clientWidth || document.body.clientWidth - 24, WIDTHS[0]);
    return Math.max(...WIDTHS.filter((w) => w <= room));
  };

  function paint() {
    const now = theme();
    const sheet = $("#wb-dark");
    if (sheet) sheet.media = now === "dark" ? "all" : "not all";
    document.documentElement.dataset.theme = now;
    document.documentElement.style.colorScheme = now;
    document.body.dataset.jpThemeLight = String(now === "light");
    document.body.dataset.jpThemeName = now === "dark" ? "JupyterLab Dark" : "JupyterLab Light";
    preview();
    tell();
  }

  // The kernel hears of theme and width through the bridge; the cookie is for the next page.
  function tell() {
    const [nowTheme, nowWidth] = [theme(), String(width())];
    document.cookie = `workbench-page=${nowTheme}-${nowWidth}; path=/; SameSite=Strict`;
    set(".wb-bridge-theme select", nowTheme);
    set(".wb-bridge-width select", nowWidth);
    // Last: now the kernel may draw, and knows for what page.
    const unread = $("script[type*='cell-output']");
    if ($(".wb-ready") && !unread) set(".wb-bridge-here select", "here");
  }
  function set(selector, value) {
    for (const menu of $$(selector)) {
      const index = [...menu.options].findIndex((option) => option.textContent === value);
      if (index < 0 || index === menu.selectedIndex) continue;
      menu.selectedIndex = index;
      menu.dispatchEvent(new Event("change", { bubbles: true }));
    }
  }

  // Recorded figures that the server has drawn: the preview, and the cards' thumbnails.
  function preview() {
    for (const image of $$("img[data-address]")) {
      const size = image.matches(".wb-thumb") ? WIDTHS[0] : width();
      const address = `${image.dataset.address}-${theme()}-${size}.png`;
      if (image.getAttribute("src") !== address) image.src = address;
    }
  }

  function state(text) {
    const place = $("#wb-state");
    if (!place || place.textContent === text) return;
    place.textContent = text;
    place.hidden = !text;
  }

  // Sliders come without a name; their label stands beside them.
  function name(node) {
    for (const slider of $$(".widget-slider, .jupyter-widgets.widget-slider", node)) {
      const label = $(".widget-label", slider)?.textContent.trim();
      for (const handle of $$("[role=slider]", slider)) {
        if (label && handle.getAttribute("aria-label") !== label) {
          handle.setAttribute("aria-label", label);
        }
      }
    }
  }

  // The renderer opens every link in a new tab; those of our own pages stay in this one.
  function stay(node) {
    for (const link of $$("a[target=_blank]", node)) {
      if (link.origin === location.origin) link.removeAttribute("target");
    }
  }

  // The address bar follows the view's own link, so that it can be copied from there.
  function follow() {
    const link = $(".wb-link a");
    const query = link && new URL(link.href, location).search;
    if (link && query !== location.search) history.replaceState(null, "", query || location.pathname);
  }

  // The page is there when its widgets are, and its first figure in this theme and width; a page
  // whose figure never comes (no records) is there after some seconds all the same.
  let readySince = 0;
  function settled(main) {
    if (!$(".wb-ready", main)) return false;
    readySince = readySince || Date.now();
    const looks = $$("figure[data-look]", main).map((figure) => figure.dataset.look);
    if (!$("#wb-preview") || looks.includes(workbench.look())) return true;
    setTimeout(changed, 500);
    return Date.now() - readySince > 15000;
  }

  // The widget manager gives a model two seconds. On a starved machine creating hundreds of them
  // takes longer, and it then says that one is missing which is there: load the page again, once.
  const BROKEN = "Error displaying widget: model not found";
  function heal(main) {
    if (![...$$(".jupyter-widgets", main)].some((node) => node.textContent === BROKEN)) return;
    try {
      if (sessionStorage.getItem("workbench-again")) return;
      sessionStorage.setItem("workbench-again", "yes");
      location.reload();
    } catch { /* without storage it might never end */ }
  }

  let waiting = 0;
  function changed() {
    waiting = 0;
    const main = $("#content");
    const shell = $("#main.jp-LabShell");  // Voila moves the cells there, out of the landmark
    if (shell && !main.contains(shell)) main.append(shell);
    name(main);
    stay(main);
    follow();
    preview();
    tell();
    heal(main);
    if (settled(main)) {
      $("#wb-preview")?.remove();
      state("");
    }
  }

  function endKernel(event) {
    const config = $("#jupyter-config-data");
    if (event.persisted || !config) return;
    const { baseUrl, kernelId } = JSON.parse(config.textContent);
    const token = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie);
    fetch(`${baseUrl}voila/api/shutdown/${kernelId}`, {
      method: "POST", keepalive: true, headers: token ? { "X-XSRFToken": token[1] } : {},
    }).catch(() => {});
  }

  function start() {
    const menu = $("#wb-theme");
    menu.value = choice();
    menu.addEventListener("change", () => {
      try { localStorage.setItem("workbench-theme", menu.value); } catch { /* stays for this page */ }
      paint();
    });
    dark.addEventListener("change", paint);
    addEventListener("resize", () => { clearTimeout(start.timer); start.timer = setTimeout(tell, 300); });
    addEventListener("pagehide", endKernel);
    new MutationObserver(() => { if (!waiting) waiting = setTimeout(changed, 60); })
      .observe(document.body, { childList: true, subtree: true });
    paint();
  }

  // Voila calls these by name.
  window.voila_heartbeat = () => {};
  window.voila_process = () => {};
  window.voila_finish = () => {};
  window.update_loading_text = () => {};

  return {
    start,
    preview,
    look: () => `${theme()}-${width()}`,
    progress: (cell, cells) => state(`Running the page: ${cell} of ${cells}`),
    cellsDone: () => {
      window.cellLoaded = true;
      state($("script[type*='cell-output']") ? "Loading the controls…" : "");
    },
  };
})();
