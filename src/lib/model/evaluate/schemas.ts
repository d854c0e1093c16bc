import { z } from 'zod';
import { gateNames } from './gates.js';

/** Parts that all evaluations' results share. */
export const intervalSchema = z.tuple([z.number(), z.number()]);

export const perClassSchema = z.object({
  class: z.string(),
  support: z.int(),
  precision: z.number(),
  recall: z.number(),
  f1: z.number(),
});

export const calibrationSchema = z.object({
  low: z.number(),
  high: z.number(),
  rows: z.int(),
  confidence: z.number(),
  accuracy: z.number(),
});

export const gateSchema = z.object({
  name: z.enum(gateNames),
  limit: z.number(),
  got: z.number().nullable(),
  passed: z.boolean(),
});

export const refusalSchema = z.object({
  code: z.string(),
  message: z.string(),
  next: z.string(),
  exit: z.int(),
});
