// SPDX-License-Identifier: Apache-2.0
package @{namespace}

import android.graphics.Bitmap

internal const val CHANNELS = 3
internal const val FULL_SCALE = 255f
private const val OPAQUE = 0xff shl 24

/** The picture with pixels that a program can read: a hardware bitmap, as ImageDecoder makes them, is copied. */
internal fun readable(picture: Bitmap): Bitmap =
    if (picture.config?.name == "HARDWARE") picture.copy(Bitmap.Config.ARGB_8888, false) else picture

/** The byte as a level of 0..255. */
internal fun level(byte: Byte): Int = byte.toInt() and 0xff

/** A value on the scale of 0..255 as a byte. Halves are rounded to even, as by the tools that made the golden picture. */
internal fun toByte(value: Float): Byte = Math.rint(value.coerceIn(0f, FULL_SCALE).toDouble()).toInt().toByte()

/** Writes ARGB [colours] into [rgb] as packed RGB888. */
internal fun putBytes(colours: IntArray, rgb: ByteArray) {
    for (i in colours.indices) {
        rgb[CHANNELS * i] = (colours[i] shr 16).toByte()
        rgb[CHANNELS * i + 1] = (colours[i] shr 8).toByte()
        rgb[CHANNELS * i + 2] = colours[i].toByte()
    }
}

/** Writes packed RGB888 [rgb] into [colours] as opaque ARGB. */
internal fun putColours(rgb: ByteArray, colours: IntArray) {
    for (i in colours.indices) {
        colours[i] = OPAQUE or (level(rgb[CHANNELS * i]) shl 16) or (level(rgb[CHANNELS * i + 1]) shl 8) or
            level(rgb[CHANNELS * i + 2])
    }
}
