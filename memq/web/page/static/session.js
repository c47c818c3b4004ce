// Session: the token that says who asks.  It lives in this tab, and ends with it; the
// page keeps no password, and there is no cookie, which other ports would be sent, too.

const KEY = "memq.session";
// The page asks who somebody is by itself: so the browser must not.
const PAGE = { "X-Requested-With": "memq" };

let token = null;
try {
  token = sessionStorage.getItem(KEY);
} catch {
  // It holds until the page is left.
}

export function keepSession(value) {
  token = value;
  try {
    if (value === null) {
      sessionStorage.removeItem(KEY);
    } else {
      sessionStorage.setItem(KEY, value);
    }
  } catch {
    // As above.
  }
}

export function hasSession() {
  return token !== null;
}

// Return the headers of a request.
export function headersOf(authorization = token === null ? null : `Bearer ${token}`) {
  return authorization === null ? { ...PAGE } : { ...PAGE, Authorization: authorization };
}

// Return how a user and a secret are said; a token alone needs no user.
export function authorizationOf(user, secret) {
  if (user === "") {
    return `Bearer ${secret}`;
  }
  const bytes = new TextEncoder().encode(`${user}:${secret}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}
