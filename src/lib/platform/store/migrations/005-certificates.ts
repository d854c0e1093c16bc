/** What was signed, so that what is not good any more can be named to who has no registry to ask: an external broker. */
export const certificates = `
  -- Of devices, by the serial number (hex) that a revocation list names them by.
  CREATE TABLE certificates (
    serial TEXT PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE, device TEXT NOT NULL, expires INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX certificatesByEnd ON certificates (expires);
`;
