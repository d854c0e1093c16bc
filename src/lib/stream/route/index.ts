/** Routes: from sources by expressions to sinks, at least once; and `stream bridge`, which is a route of one line. */
export { loadRoutes, parseRoutes, routeOf } from './load.js';
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
