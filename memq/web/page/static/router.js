// Router: the view and its parameters, as the part of the address behind "#".

// Return {view, name, values} of the address.
export function parse(hash = location.hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [view, ...rest] = path.split("/");
  let name = "";
  try {
    name = decodeURIComponent(rest.join("/"));
  } catch {
    // No name is written so.
  }
  return {
    view: view || "queues",
    name,
    values: Object.fromEntries(new URLSearchParams(query)),
  };
}

// Return the address of a view; values that are empty are left out.
export function link(view, name = "", values = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    if (value) {
      query.set(key, value);
    }
  }
  const path = name ? `#/${view}/${encodeURIComponent(name)}` : `#/${view}`;
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

// Go there.  Replaced, it is no step for the back button.
export function go(hash, isReplaced = false) {
  if (isReplaced) {
    history.replaceState(null, "", hash);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = hash;
  }
}
