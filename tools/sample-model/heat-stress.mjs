/** What the sample model is asked, what the right answer is, and the made-up readings it learns from. */
import { log10, Random } from './math.mjs';
import { directShare, relativeHumidity, wetBulbGlobe } from './wbgt.mjs';

export const NAME = 'heat-stress';

/** Columns of the model's input, in order. Outside [low, high] nothing was trained. */
export const READINGS = [
  { name: 'air_temperature_c', meaning: 'air temperature, °C', low: 12, high: 48 },
  { name: 'relative_humidity_percent', meaning: 'relative humidity, %', low: 5, high: 100 },
  { name: 'wind_speed_m_s', meaning: 'wind speed 2 m above ground, m/s', low: 0, high: 10 },
  {
    name: 'solar_radiation_w_m2',
    meaning: 'global solar irradiance on the level, W/m²; 0 at night',
    low: 0,
    high: 1150,
  },
  { name: 'metabolic_rate_w', meaning: 'heat the body makes at this work, W', low: 150, high: 600 },
  { name: 'acclimatised', meaning: '1 used to work in heat, 0 not', low: 0, high: 1 },
  { name: 'clothing_adjustment_c', meaning: 'WBGT adjustment of the clothing, °C; 0 work clothes', low: 0, high: 12 },
];

/** Columns of `probabilities`, values of `category`: how much of each hour the limit leaves for work. */
export const CATEGORIES = [
  { label: 'work the whole hour', workMinutes: 60 },
  { label: 'rest 15 minutes of each hour', workMinutes: 45 },
  { label: 'rest 30 minutes of each hour', workMinutes: 30 },
  { label: 'rest more than 30 minutes of each hour, or stop', workMinutes: 0 },
];

const REST_W = 115; // metabolic rate at rest

/**
 * NIOSH's limit for a metabolic rate averaged over the hour, °C WBGT: REL for the acclimatised, RAL for others.
 *
 * @see NIOSH 2016-106, section 8.1
 */
export const limitC = (metabolicW, acclimatised) =>
  acclimatised ? 56.7 - 11.5 * log10(metabolicW) : 59.9 - 14.1 * log10(metabolicW);

/** The limits between neighbouring categories, °C WBGT, rising; rest is taken in the same place as work. */
export const boundariesC = (metabolicW, acclimatised) =>
  CATEGORIES.slice(0, -1).map(({ workMinutes }) =>
    limitC((workMinutes * metabolicW + (60 - workMinutes) * REST_W) / 60, acclimatised),
  );

/** The right answer when everything is known exactly. @returns {number} 0…3 */
export const categoryOf = (effectiveWbgtC, metabolicW, acclimatised) =>
  boundariesC(metabolicW, acclimatised).filter((boundary) => effectiveWbgtC > boundary).length;

// One standard deviation of what a cheap, well-kept weather station is off by.
const NOISE = { airC: 0.3, humidityPercent: 2, windMS: 0.1, windShare: 0.05, solarShare: 0.05 };
const ABOVE_ATMOSPHERE_WM2 = 1367;

/** A place and moment, evenly over what can occur; not the climate of anywhere. */
function makeWeather(random) {
  const airC = random.uniform(READINGS[0].low, READINGS[0].high);
  const dewPointC = Math.min(airC, random.uniform(0, 30));
  const stillness = random.uniform();
  const night = random.uniform() < 0.2;
  const sunHeight = random.uniform(0.15, 1);
  const clearness = night ? 0 : random.uniform(0.05, 0.8);
  return {
    airC,
    humidityPercent: relativeHumidity(airC, dewPointC),
    pressureHPa: random.uniform(950, 1030),
    windMS: READINGS[2].high * stillness * stillness,
    solarWM2: ABOVE_ATMOSPHERE_WM2 * sunHeight * clearness,
    directShare: directShare(clearness),
    sunHeight,
  };
}

const clamp = (value, { low, high }) => Math.min(high, Math.max(low, value));

/** The reading of each instrument, errors included; sun height, share of direct light and pressure are not measured. */
function measure(weather, random) {
  return [
    weather.airC + NOISE.airC * random.normal(),
    weather.humidityPercent + NOISE.humidityPercent * random.normal(),
    weather.windMS * (1 + NOISE.windShare * random.normal()) + NOISE.windMS * random.normal(),
    weather.solarWM2 * (1 + NOISE.solarShare * random.normal()),
  ];
}

const NEAR_C = 3; // from a limit between categories
const KEPT_FAR = 0.2;

/**
 * Readings with errors, each with the category that exact knowledge of that moment gives. Most moments lie far from
 * every limit and are easy, so only a share of them is kept, unless `even`.
 *
 * @param {number} seed
 * @param {number} count
 * @param {{ even?: boolean }} options even: every moment that is drawn
 * @returns {{ count: number, readings: Float32Array, categories: Uint8Array, near: number }} readings row by row; near:
 *   rows whose true WBGT is within 3 °C of a limit
 */
export function makeData(seed, count, { even = false } = {}) {
  const random = new Random(seed);
  const readings = new Float32Array(count * READINGS.length);
  const categories = new Uint8Array(count);
  let near = 0;
  for (let kept = 0; kept < count; ) {
    const weather = makeWeather(random);
    const metabolicW = random.uniform(READINGS[4].low, READINGS[4].high);
    const acclimatised = random.uniform() < 0.5 ? 0 : 1;
    const workClothes = random.uniform() < 0.6;
    const clothingC = workClothes ? 0 : random.uniform(READINGS[6].low, READINGS[6].high);
    const effectiveC = wetBulbGlobe(weather).wbgtC + clothingC;
    const distanceC = Math.min(...boundariesC(metabolicW, acclimatised).map((b) => Math.abs(effectiveC - b)));
    const isNear = distanceC <= NEAR_C;
    if (!even && !isNear && random.uniform() > KEPT_FAR) continue;
    if (isNear) near++;
    const row = [...measure(weather, random), metabolicW, acclimatised, clothingC];
    readings.set(
      row.map((value, column) => clamp(value, READINGS[column])),
      kept * READINGS.length,
    );
    categories[kept++] = categoryOf(effectiveC, metabolicW, acclimatised);
  }
  return { count, readings, categories, near };
}

/** What a person would compute instead: the same formulas on the readings as they are, the sun at a likely height. */
export function formulaCategory(row) {
  const [airC, humidityPercent, windMS, solarWM2, metabolicW, acclimatised, clothingC] = row;
  const clearness = 0.55;
  const sunHeight = Math.min(1, Math.max(0.15, solarWM2 / (ABOVE_ATMOSPHERE_WM2 * clearness)));
  const weather = { airC, humidityPercent, windMS, solarWM2, sunHeight, pressureHPa: 990 };
  const share = directShare(solarWM2 / (ABOVE_ATMOSPHERE_WM2 * sunHeight));
  return categoryOf(wetBulbGlobe({ ...weather, directShare: share }).wbgtC + clothingC, metabolicW, acclimatised);
}
