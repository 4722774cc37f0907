// Shrinks and stretches as Pillow does (bilinear with antialiasing, 8 bits), bit by bit. The model does the same to
// pictures of any size, but by whole matrices: a photo of 12 million pixels takes it seconds.
"use strict";

const BITS = 22; // of a weight: Pillow's PRECISION_BITS

/** For each place of a side: where its input pixels begin, and their weights. */
function weights(given, wanted) {
  const scale = given / wanted;
  const reach = Math.max(scale, 1);
  return Array.from({ length: wanted }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(given, Math.trunc(centre + reach + 0.5));
    const triangle = Array.from({ length: end - first }, (_, i) =>
      Math.max(0, 1 - Math.abs((i + first - centre + 0.5) * (1 / reach))),
    );
    const total = triangle.reduce((sum, one) => sum + one, 0);
    return { first, parts: Int32Array.from(triangle, (one) => Math.trunc(0.5 + (one / total) * 2 ** BITS)) };
  });
}

/** RGB bytes of shape (height, width, 3) to (side, side, 3), rows first. */
function resized({ rgb, width, height }, side) {
  if (width === side && height === side) return { rgb, width, height };
  const narrow = new Uint8Array(height * side * 3);
  weights(width, side).forEach(({ first, parts }, x) => {
    for (let y = 0; y < height; y++) sum(rgb, (y * width + first) * 3, 3, parts, narrow, (y * side + x) * 3);
  });
  const square = new Uint8Array(side * side * 3);
  weights(height, side).forEach(({ first, parts }, y) => {
    for (let x = 0; x < side; x++) sum(narrow, (first * side + x) * 3, side * 3, parts, square, (y * side + x) * 3);
  });
  return { rgb: square, width: side, height: side };
}

/** The three channels of one pixel: input pixels by their weights, to the nearest whole number. */
function sum(from, start, step, parts, to, place) {
  let [red, green, blue] = [1 << (BITS - 1), 1 << (BITS - 1), 1 << (BITS - 1)];
  for (let i = 0, at = start; i < parts.length; i++, at += step) {
    red += from[at] * parts[i];
    green += from[at + 1] * parts[i];
    blue += from[at + 2] * parts[i];
  }
  to[place] = red >> BITS;
  to[place + 1] = green >> BITS;
  to[place + 2] = blue >> BITS;
}
