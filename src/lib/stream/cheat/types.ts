/** What people reach for with one broker: commands to copy, and what may stand in its address. */
export interface CheatSheet {
  title: string;
  /** One line: what the broker keeps and promises. */
  about: string;
  /** Commands, each with what it does. */
  lines: readonly (readonly [what: string, command: string])[];
  /** After the `?` of its address. */
  settings: readonly (readonly [setting: string, meaning: string])[];
}
