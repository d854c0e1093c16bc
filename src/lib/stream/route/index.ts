/** Routes: from sources by expressions to sinks, at least once; and `stream bridge`, which is a route of one line. */

export { type TestedRoutes, testedRoutesSchema, testRoutes } from './cases.js';
export { reasonOf } from './failures.js';
export { type ImportedRoutes, importedRoutesSchema, importRoutes } from './import/import.js';
export { presetNames } from './presets.js';
export { type ListedRoutes, listedRoutesSchema, listRoutes } from './list.js';
export { loadRoutes, parseRoutes, routeOf } from './load.js';
export { processorNamed } from './processors.js';
export { stateText } from './report.js';
export { runRoutes } from './run.js';
export {
  type OpenProcessor,
  type Processor,
  type Route,
  type RouteState,
  type RoutesEnd,
  type RunRoutesOptions,
  routeStateSchema,
  routesEndSchema,
  type StreamOpener,
} from './types.js';
export { runWatched, type WatchedOptions } from './watched.js';
