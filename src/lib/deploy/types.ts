import type { Project } from '../core/project.js';
import type { TopicSpec } from '../stream/broker/admin.js';
import type { Usual, Values } from './values.js';

/** Input for rendering. */
export interface RenderInput {
  /** The project. If it is null, the target renders the motion system. */
  project: Project | null;
  /** JetStream streams of the project (its streams.yaml), or those of the motion system. */
  streams: readonly TopicSpec[];
  /** The values of deploy.yaml, with defaults filled in. */
  values: Values;
  /** The project's pipeline as Argo objects; null without a project or without Argo. */
  pipeline: RenderedPipeline | null;
  /** Contents of the project files that services read, by path in the project. */
  files: ReadonlyMap<string, string>;
}

export interface RenderedPipeline {
  files: readonly RenderedFile[];
  /** Project files that are too large for a template, each with the bucket URL to which it must be uploaded by hand. */
  large: readonly { path: string; url: string }[];
}

/** One file of an installation. It contains no secrets, but refers to them by name. */
export interface RenderedFile {
  /** Path within the folder, with `/` as the separator. */
  path: string;
  text: string;
  /** Purpose of the file, in a few words. */
  about: string;
}

/** A kind of installation. Rendering is a pure function: the same input results in the same files. */
export interface DeployTarget {
  name: string;
  about: string;
  /** The command to run next in the folder. */
  next: string;
  /** Components that are installed by default. deploy.yaml can override them. */
  usual: (project: Project | null) => Usual;
  render(input: RenderInput): RenderedFile[];
}
