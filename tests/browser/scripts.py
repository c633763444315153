"""What the tests ask a page itself, in its language."""

from __future__ import annotations

ELEMENTS = frozenset(
    [
        "html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "nav", "a", "p", "code",
        "span", "small", "strong", "h1", "h2", "dl", "dt", "dd", "div", "ul", "li", "pre", "br", "button", "input", "select",
        "option", "label", "table", "caption", "thead", "tbody", "tr", "th", "td", "svg", "rect", "noscript", "script",
    ]
)  # fmt: skip
"""What the templates and scripts make."""

KINDS = "[...new Set([...document.querySelectorAll('*')].map(element => element.localName))]"
"""The names of all elements."""

ACTIVE = """[...document.querySelectorAll("*")]
    .filter(element => [...element.attributes].some(({ name }) => /^on|^(action|data|formaction|href|src|srcdoc)$/.test(name)))
    .map(element => element.outerHTML)"""
"""Elements that lead or load somewhere, or run something."""

HIDDEN = r"""[...document.documentElement.outerHTML].filter(character =>
    /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/.test(character))"""
"""Characters of the page that nobody sees or that change what others look like."""

NAMELESS = """[...document.querySelectorAll("button, input, select, [role=grid], [role=group], nav, section")]
    .filter(element => element.checkVisibility())
    .filter(element => !element.ariaLabel && !element.labels?.length && !element.getAttribute("aria-labelledby"))
    .filter(element => !element.textContent.trim()).map(element => element.outerHTML)"""
"""Controls and regions that a screen reader cannot name."""

EACH_PROJECT = """() => {
    for (const option of document.querySelectorAll("#project option")) {
        option.selected = true;
        option.parentElement.dispatchEvent(new Event("change"));
    }
}"""
"""Choose each project in turn."""

CONTRAST = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const rgb = (under, colour) => {
        canvas.fillStyle = `rgb(${under.join(" ")})`; canvas.fillRect(0, 0, 1, 1);
        canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3)];
    };
    const light = (c) => c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
    const faults = new Set();
    for (const element of document.body.querySelectorAll("*")) {
        const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        const seen = element.checkVisibility() && !element.disabled && !element.closest("script, noscript, option, .skip");
        if (!own || !seen) continue;
        const above = [];
        for (let e = element; e; e = e.parentElement) above.unshift(e);
        const ground = above.reduce((under, e) => rgb(under, getComputedStyle(e).backgroundColor), [255, 255, 255]);
        const style = getComputedStyle(element);
        canvas.globalAlpha = Number(style.opacity);
        const ink = rgb(ground, style.color);
        canvas.globalAlpha = 1;
        const [high, low] = [light(ink), light(ground)].sort((a, b) => b - a);
        const ratio = (high + 0.05) / (low + 0.05);
        if (ratio < 4.5) faults.add(`${element.localName}.${element.className}: ${ratio.toFixed(2)}`);
    }
    return [...faults];
}"""
"""Texts that stand out from their ground by less than 4.5 to 1."""
