/** Ways into the dashboard that a token opened: links that are used once, and the sessions they begin. Both end with the token. */
export const logins = `
  CREATE TABLE logins (
    digest TEXT PRIMARY KEY, kind TEXT NOT NULL, token TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL
  ) STRICT;
`;
