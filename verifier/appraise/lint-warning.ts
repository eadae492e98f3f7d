/** What a linter of one part of a policy says, and how. */
export interface PolicyWarning {
  /** Stable, for tools: `opt-out`, `floor-missing`. */
  readonly code: string;
  /** Where in the policy: `policy.sevSnp.chips`. */
  readonly path: string;
  /** The consequence. */
  readonly words: string;
}

export const warn = (code: string, path: string, words: string): PolicyWarning => ({
  code,
  path: `policy.${path}`,
  words,
});

export const when = (holds: boolean, ...warning: Parameters<typeof warn>): readonly PolicyWarning[] =>
  holds ? [warn(...warning)] : [];

/** A single word that switches a check off. */
export type OptOut<Policy> = readonly [field: keyof Policy & string, word: string, words: string];
