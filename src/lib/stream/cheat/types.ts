/** What people reach for with one broker: commands to copy, and what may stand in its address. */
export interface CheatSheet {
  title: string;
  /** One line: what the broker keeps and promises. */
  about: string;
  /** Commands, each with what it does. */
  lines: readonly (readonly [what: string, command: string])[];
  /** What its settings stand behind; default `?`. */
  mark?: '?' | '#';
  /** In its address, behind that mark. */
  settings: readonly (readonly [setting: string, meaning: string])[];
}
