/** Minimum TCBs: per product, and per die where a floor names CPUID models. */
import { meetsTcb, type Tcb, tcbText } from '../snp/tcb.ts';
import type { SnpPolicy, TcbFloor } from './policy.ts';
import type { SnpFacts } from './snp-rules.ts';

/** The floor for this very processor if there is one, else its product's. */
function floorFor(floors: readonly TcbFloor[], { snp }: SnpFacts): TcbFloor | undefined {
  const ofProduct = floors.filter(({ product }) => product === snp.product);
  const model = snp.report.cpuid?.model;
  return (
    ofProduct.find(({ cpuidModels }) => cpuidModels !== 'any' && model !== undefined && cpuidModels.includes(model)) ??
    ofProduct.find(({ cpuidModels }) => cpuidModels === 'any')
  );
}

export const reportedFloors = (policy: SnpPolicy): readonly TcbFloor[] =>
  policy.minimumTcb === 'any' ? [] : policy.minimumTcb;
export const launchFloors = (policy: SnpPolicy): readonly TcbFloor[] => {
  if (policy.minimumLaunchTcb === 'same-as-reported') return reportedFloors(policy);
  return policy.minimumLaunchTcb === 'any' ? [] : policy.minimumLaunchTcb;
};

export const floorText = (floors: readonly TcbFloor[], facts: SnpFacts): string => {
  const floor = floorFor(floors, facts);
  if (floor) return `at least ${tcbText(floor.tcb)}`;
  const { cpuid } = facts.snp.report;
  return `a processor the policy has a floor for, unlike ${facts.snp.product}${cpuid ? ` model ${cpuid.model}` : ''}`;
};
export const meetsFloor = (tcb: Tcb, floors: readonly TcbFloor[], facts: SnpFacts): boolean => {
  const floor = floorFor(floors, facts);
  return floor !== undefined && meetsTcb(tcb, floor.tcb);
};
