/** Rollouts carry firmware, too. */
export const rolloutKind = `
  ALTER TABLE rollouts ADD COLUMN kind TEXT NOT NULL DEFAULT 'model';
`;
