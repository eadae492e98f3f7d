/**
 * Wet-bulb globe temperature (WBGT) outdoors from weather-station quantities: the energy balances of a black globe
 * and of a natural wet bulb.
 *
 * @see Liljegren, Carhart, Lawday, Tschopp, Sharp: Modeling the Wet Bulb Globe Temperature Using Standard
 *   Meteorological Measurements. J. Occup. Environ. Hyg. 5 (2008) 645–655, and the constants of its program, WBGT 1.1
 */
import { exp, pow } from './math.mjs';

const KELVIN = 273.15;
const STEFAN_BOLTZMANN = 5.6696e-8; // W/(m² K⁴)
const HEAT_CAPACITY = 1003.5; // of dry air, J/(kg K)
const MOLAR_AIR = 28.97; // g/mol
const MOLAR_WATER = 18.015; // g/mol
const GAS_CONSTANT_AIR = 8314.34 / MOLAR_AIR; // J/(kg K)
const EUCKEN = HEAT_CAPACITY + 1.25 * GAS_CONSTANT_AIR; // thermal conductivity over viscosity
const PRANDTL = HEAT_CAPACITY / EUCKEN;
const SPHERE_PRANDTL = pow(PRANDTL, 0.3333);
const CYLINDER_PRANDTL = pow(PRANDTL, 0.44);

const GLOBE = { diameterM: 0.15, emissivity: 0.95, albedo: 0.05 }; // diameter: ISO 7243, standard black globe
const WICK = { diameterM: 0.007, lengthM: 0.0254, emissivity: 0.95, albedo: 0.4 };
const GROUND = { emissivity: 0.999, albedo: 0.45 };
const MINIMUM_WIND = 0.13; // m/s: what moves by itself in still air

/** Over water, with Buck's correction for moist air, hPa. @param {number} kelvin */
const saturationPressure = (kelvin) => 1.004 * 6.1121 * exp((17.502 * (kelvin - KELVIN)) / (kelvin - 32.18));

/** @param {number} airC @param {number} dewPointC @returns {number} percent */
export const relativeHumidity = (airC, dewPointC) =>
  (100 * saturationPressure(dewPointC + KELVIN)) / saturationPressure(airC + KELVIN);

/** kg/(m s) @param {number} kelvin */
const viscosity = (kelvin) =>
  (2.6693e-6 * Math.sqrt(MOLAR_AIR * kelvin)) / (3.617 * 3.617 * (1.048 - 0.034 * ((kelvin / 97 - 2.9) / 0.4)));

/** kg/m³ @param {number} kelvin @param {number} hPa */
const airDensity = (kelvin, hPa) => (hPa * 100) / (GAS_CONSTANT_AIR * kelvin);

// Factors of water vapour's diffusivity in air that hold no variable: critical pressures, temperatures, molar masses.
const DIFFUSIVITY_FACTOR =
  3.64e-8 * pow(36.4 * 218, 1 / 3) * pow(132 * 647.3, 5 / 12) * Math.sqrt(1 / MOLAR_AIR + 1 / MOLAR_WATER);

/** m²/s @param {number} kelvin @param {number} hPa */
const diffusivity = (kelvin, hPa) =>
  (DIFFUSIVITY_FACTOR * pow(kelvin / Math.sqrt(132 * 647.3), 2.334)) / (hPa / 1013.25);

/** J/kg, meant for 283–313 K @param {number} kelvin */
const heatOfEvaporation = (kelvin) => 2.4073e6 - (71100 * (313.15 - kelvin)) / 30;

/** W/(m² K) of a sphere in a stream of air (Bird, Stewart, Lightfoot). */
function sphereConvection(kelvin, hPa, wind, diameterM) {
  const reynolds = (wind * airDensity(kelvin, hPa) * diameterM) / viscosity(kelvin);
  const nusselt = 2 + 0.6 * Math.sqrt(reynolds) * SPHERE_PRANDTL;
  return (nusselt * EUCKEN * viscosity(kelvin)) / diameterM;
}

/** W/(m² K) of a cylinder across a stream of air (Bedingfield and Drew). */
function cylinderConvection(kelvin, hPa, wind, diameterM) {
  const reynolds = (wind * airDensity(kelvin, hPa) * diameterM) / viscosity(kelvin);
  const nusselt = 0.281 * pow(reynolds, 0.6) * CYLINDER_PRANDTL;
  return (nusselt * EUCKEN * viscosity(kelvin)) / diameterM;
}

/** Where a rising function crosses zero, to better than 1e-9 of a span of 150. */
function rootBetween(low, high, rising) {
  for (let i = 0; i < 38; i++) {
    const middle = (low + high) / 2;
    if (rising(middle) > 0) high = middle;
    else low = middle;
  }
  return (low + high) / 2;
}

const fourth = (x) => x * x * x * x;

/**
 * The share of sunlight that comes straight from the sun.
 *
 * @param {number} clearness global irradiance over what arrives above the atmosphere
 */
export const directShare = (clearness) =>
  clearness > 0 ? Math.min(0.9, exp(3 - 1.34 * clearness - 1.65 / clearness)) : 0;

/**
 * @param {{ airC: number, humidityPercent: number, pressureHPa: number, windMS: number, solarWM2: number,
 *   directShare: number, sunHeight: number }} weather sunHeight: the cosine of the zenith angle, above 0
 * @param {number} globeDiameterM
 * @returns {{ globeC: number, naturalWetBulbC: number, wbgtC: number }}
 */
export function wetBulbGlobe(weather, globeDiameterM = GLOBE.diameterM) {
  const { pressureHPa: hPa, solarWM2: solar, directShare: direct, sunHeight } = weather;
  const air = weather.airC + KELVIN;
  const wind = Math.max(weather.windMS, MINIMUM_WIND);
  const vapour = (weather.humidityPercent / 100) * saturationPressure(air);
  const skyEmissivity = 0.575 * pow(vapour, 0.143);
  const longwave = 0.5 * (skyEmissivity + GROUND.emissivity) * fourth(air); // from above and below, over σ

  const globeSun = 0.5 * solar * (1 - GLOBE.albedo) * (direct * (1 / (2 * sunHeight) - 1) + 1 + GROUND.albedo);
  const globe = rootBetween(air - 50, air + 100, (t) => {
    const lost = sphereConvection((t + air) / 2, hPa, wind, globeDiameterM) * (t - air);
    return fourth(t) - longwave + (lost - globeSun) / (STEFAN_BOLTZMANN * GLOBE.emissivity);
  });

  const ends = (0.25 * WICK.diameterM) / WICK.lengthM;
  const tangent = Math.sqrt(1 - sunHeight * sunHeight) / sunHeight; // of the zenith angle
  const wickSun =
    solar * (1 - WICK.albedo) * ((1 - direct) * (1 + ends) + direct * (tangent / Math.PI + ends) + GROUND.albedo);
  const wetBulb = rootBetween(air - 60, air + 60, (t) => {
    const film = (t + air) / 2;
    const wick = saturationPressure(t);
    const schmidt = viscosity(film) / (airDensity(film, hPa) * diffusivity(film, hPa));
    const evaporation =
      ((heatOfEvaporation(film) * MOLAR_WATER) / (HEAT_CAPACITY * MOLAR_AIR)) *
      ((wick - vapour) / (hPa - wick)) *
      pow(PRANDTL / schmidt, 0.56);
    const radiation = STEFAN_BOLTZMANN * WICK.emissivity * (longwave - fourth(t)) + wickSun;
    return t - air + evaporation - radiation / cylinderConvection(film, hPa, wind, WICK.diameterM);
  });

  const globeC = globe - KELVIN;
  const naturalWetBulbC = wetBulb - KELVIN;
  return { globeC, naturalWetBulbC, wbgtC: 0.7 * naturalWetBulbC + 0.2 * globeC + 0.1 * weather.airC };
}
