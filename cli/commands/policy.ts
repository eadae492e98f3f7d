import { hex } from '@veritee/protocol';
import { assess, draftPolicy, lintPolicy, parsePolicy, policyDigest } from '@veritee/verifier';
import { EXIT, exitOfVerdict } from '../exit.ts';
import { readAnchors, readEndorsement, readPolicy, readTime } from '../inputs.ts';
import { print, printJson, readInput, say } from '../io.ts';
import { renderResult } from '../render.ts';

export interface PolicyInitOptions {
  readonly endorsement: readonly string[];
  readonly trustAnchor: readonly string[];
  readonly at?: string;
}

/** The policy goes to stdout; nothing goes there unless the file verified. */
export async function policyInit(path: string, options: PolicyInitOptions): Promise<number> {
  const anchors = await readAnchors(options.trustAnchor);
  const result = await assess({
    file: await readInput(path),
    policy: 'builtin:authenticity',
    at: readTime(options.at),
    trustAnchors: anchors,
    endorsements: await Promise.all(options.endorsement.map(readEndorsement)),
  });
  if (result.verdict !== 'affirming') {
    say(renderResult(result));
    say('\nNo policy was written: the file does not verify.');
    return exitOfVerdict(result.verdict);
  }
  const draft = draftPolicy(result, anchors);
  parsePolicy(draft); // what we write, we accept
  printJson(draft);
  say('Draft written. It accepts what made this file and nothing else: read its $comment lines before you rely on it.');
  return EXIT.done;
}

export async function policyCheck(path: string, options: { readonly json: boolean }): Promise<number> {
  const policy = await readPolicy(path);
  const digest = hex(policyDigest(policy));
  const warnings = lintPolicy(policy, new Date());
  if (options.json) printJson({ id: policy.id, digest, complete: true, warnings });
  else {
    print(`${policy.id}: complete (digest ${digest})`);
    for (const { path: place, words } of warnings) print(`  ! ${place}: ${words}`);
  }
  return EXIT.done;
}
