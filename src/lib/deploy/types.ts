import type { Project } from '../core/project.js';
import type { TopicSpec } from '../stream/broker/admin.js';
import type { Usual, Values } from './values.js';

/** Input of a rendering. */
export interface RenderInput {
  /** The project; null if there is none, in which case the target renders the motion system. */
  project: Project | null;
  /** JetStream streams of the project (its streams.yaml), or those of the motion system. */
  streams: readonly TopicSpec[];
  /** deploy.yaml with defaults filled in. */
  values: Values;
  /** The project's pipeline as Argo objects; null without a project or without Argo. */
  pipeline: RenderedPipeline | null;
  /** Contents of the project files that services read, by path in the project. */
  files: ReadonlyMap<string, string>;
}

export interface RenderedPipeline {
  files: readonly RenderedFile[];
  /** Project files that are too large for a template, and the bucket URL to which each is uploaded by hand. */
  large: readonly { path: string; url: string }[];
}

/** One file of an installation. Files contain no secrets, and refer to them only by name. */
export interface RenderedFile {
  /** Path in the folder, with `/`. */
  path: string;
  text: string;
  /** Purpose of the file, in a few words. */
  about: string;
}

/** A way to install. It is a pure function: the same input gives the same files. */
export interface DeployTarget {
  name: string;
  about: string;
  /** The command to run next in the folder. */
  next: string;
  /** Components that are installed unless deploy.yaml specifies otherwise. */
  usual: (project: Project | null) => Usual;
  render(input: RenderInput): RenderedFile[];
}
