// DOM: makes elements.  Text becomes text nodes: nothing here or elsewhere parses HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.flat().filter((each) => each !== null && each !== false));
  return element;
}

// Return an element.  Attributes: "onX" listens to the event X; true is an attribute
// without a value; false, null and undefined are none.
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// Write a text only where it differs: what does not change is not drawn again.
export function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

// Return the text of a name or body with all that is not seen, or turns the direction
// of what follows, as its number.
export function visible(text) {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}\p{Cs}]/gu,
    (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`,
  );
}

// Return an element with a name in it, which stands apart from the text around.
export function nameOf(name) {
  return el("bdi", { class: "name", title: visible(name) }, visible(name));
}

// Return a command to type, with a button that copies it.
export function command(text, copyWords) {
  const button = el(
    "button",
    {
      type: "button",
      class: "quiet",
      onclick: () => navigator.clipboard?.writeText(text).then(
        () => setText(button, "✓"),
        () => getSelection().selectAllChildren(code),
      ),
    },
    copyWords,
  );
  const code = el("code", {}, text);
  return el("p", { class: "command" }, code, button);
}
