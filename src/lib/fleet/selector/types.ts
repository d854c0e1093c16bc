/** What a selector can look at: a device as the API tells of it. */
export interface Selectable {
  name: string;
  id: string;
  type: string;
  state: string;
  groups: readonly string[];
  tags: Readonly<Record<string, string>>;
  online: boolean;
  /** As last reported. */
  model: { name: string; version: number } | null;
  firmware: string | null;
  /** ms since 1970 */
  lastSeen: number | null;
  created: number;
  mac: string | null;
}

export type Operator = '=' | '!=' | '<' | '<=' | '>' | '>=' | '~' | 'in' | 'has';

/** One test of a device. */
export interface Term {
  kind: 'term';
  /** `name`, `fw`, …; `tag.site` for a tag. */
  key: string;
  operator: Operator;
  /** None of `has`, any number of `in`, one of all others. */
  values: string[];
}

export type Expression =
  | Term
  | { kind: 'all' }
  | { kind: 'not'; of: Expression }
  | { kind: 'and' | 'or'; of: Expression[] };
