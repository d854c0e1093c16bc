/** A layer or model as Keras and TensorFlow.js describe it in JSON. */
export interface LayerJson {
  class_name: string;
  config: Record<string, unknown>;
  /** Keras 3: the layer's own name stands here too. */
  name?: string;
  inbound_nodes?: unknown;
}

/** A trained array, row-major. */
export interface Weight {
  shape: number[];
  data: Float32Array;
}

/** Where the weights of layers come from. */
export interface WeightSource {
  /**
   * Those of one layer, in the order of `roles` (Keras' own order, those left out that the layer does not have).
   * @param path names of the models around the layer, then its own
   * @throws AIOT_FILE_MALFORMED when they are not there
   */
  of(path: readonly string[], roles: readonly string[]): Weight[];
}

/** A whole model as its file says it. */
export interface KerasModel {
  model: LayerJson;
  weights: WeightSource;
  /** For people: which program wrote the file. */
  writer: string;
}
