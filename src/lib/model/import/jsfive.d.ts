/** Types for the parts of jsfive that are used here, because the package includes none. */
declare module 'jsfive' {
  interface Node {
    attrs: Record<string, unknown>;
  }
  export interface Dataset extends Node {
    shape: number[];
    /** All values, row-major. */
    value: unknown;
  }
  export interface Group extends Node {
    keys: string[];
    get(name: string): Group | Dataset;
  }
  export type File = Group;
  export const File: new (bytes: ArrayBuffer, name: string) => File;
}
