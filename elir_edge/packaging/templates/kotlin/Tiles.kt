// SPDX-License-Identifier: Apache-2.0
package @{namespace}

import android.graphics.Bitmap

/**
 * Restores pictures of any size: in overlapping tiles of the model's size, whose values fade into each other.
 *
 * The time is that of as many calls of [Restorer.restore] as there are tiles. Working memory is kept from picture to
 * picture: two rows of tiles. One thread at a time may use it; it does not close the restorer.
 */
class Tiles(private val restorer: Restorer) {
    private val tile = ByteArray(Restorer.FRAME_BYTES)
    private val levels = FloatArray(Restorer.FRAME_BYTES)
    private var strip = FloatArray(0)
    private var blended = FloatArray(0)

    /**
     * Restores one picture; its transparency is ignored. Returns a new opaque ARGB_8888 bitmap of the same size. It holds
     * 7 bytes a pixel meanwhile: restore large pictures as arrays.
     */
    fun restore(picture: Bitmap): Bitmap {
        val colours = IntArray(picture.width * picture.height)
        readable(picture).getPixels(colours, 0, picture.width, 0, 0, picture.width, picture.height)
        val rgb = ByteArray(CHANNELS * colours.size)
        putBytes(colours, rgb)
        putColours(restore(rgb, picture.width, picture.height, rgb), colours)
        return Bitmap.createBitmap(colours, picture.width, picture.height, Bitmap.Config.ARGB_8888)
    }

    /**
     * Restores one frame of [width] x [height] pixels: packed RGB888, rows from top to bottom.
     *
     * @param restored gets the result; it may be [rgb] itself.
     * @return [restored].
     * @throws IllegalArgumentException where an array has not 3 * width * height bytes.
     * @throws IllegalStateException where the model gives values that are not finite.
     */
    @JvmOverloads
    fun restore(rgb: ByteArray, width: Int, height: Int, restored: ByteArray = ByteArray(rgb.size)): ByteArray {
        require(width > 0 && height > 0 && CHANNELS.toLong() * width * height == rgb.size.toLong()) {
            "the frame has ${rgb.size} bytes, $width x $height pixels have ${CHANNELS.toLong() * width * height}"
        }
        require(restored.size == rgb.size) { "the result has ${restored.size} bytes, the frame has ${rgb.size}" }
        val columns = Axis(width, ModelFacts.WIDTH)
        val rows = Axis(height, ModelFacts.HEIGHT)
        val values = CHANNELS * columns.covered * ModelFacts.HEIGHT
        if (strip.size != values) {
            strip = FloatArray(values)
            blended = FloatArray(values)
        }
        restoreStrips(Frame(rgb, restored, width, height), columns, rows)
        return restored
    }

    private fun restoreStrips(frame: Frame, columns: Axis, rows: Axis) {
        var begin = 0
        var filled = 0
        for (top in rows.starts) {
            putRows(frame, columns, begin, top - begin)
            restoreStrip(frame, columns, top)
            blendStrip(columns, maxOf(0, filled - top))
            begin = top
            filled = top + ModelFacts.HEIGHT
        }
        putRows(frame, columns, begin, ModelFacts.HEIGHT)
    }

    private fun restoreStrip(frame: Frame, columns: Axis, top: Int) {
        var filled = 0
        for (left in columns.starts) {
            cutTile(frame, left, top)
            restorer.restoreLevels(tile, levels)
            blendTile(columns, left, maxOf(0, filled - left))
            filled = left + ModelFacts.WIDTH
        }
    }

    private fun cutTile(frame: Frame, left: Int, top: Int) {
        var to = 0
        for (y in 0 until ModelFacts.HEIGHT) {
            val row = reflected(top + y, frame.height) * frame.width
            for (x in 0 until ModelFacts.WIDTH) {
                val from = CHANNELS * (row + reflected(left + x, frame.width))
                for (channel in 0 until CHANNELS) tile[to++] = frame.image[from + channel]
            }
        }
    }

    /** Puts the levels of a tile into the strip; they fade in over the first [shared] columns. */
    private fun blendTile(columns: Axis, left: Int, shared: Int) {
        val tileRow = CHANNELS * ModelFacts.WIDTH
        for (y in 0 until ModelFacts.HEIGHT) {
            val start = CHANNELS * (y * columns.covered + left)
            for (x in 0 until shared) {
                val place = CHANNELS * x
                fade(strip, start + place, levels, y * tileRow + place, CHANNELS, x, shared)
            }
            levels.copyInto(strip, start + CHANNELS * shared, y * tileRow + CHANNELS * shared, (y + 1) * tileRow)
        }
    }

    /** Puts the strip into what the strips above have left; it fades in over the first [shared] rows. */
    private fun blendStrip(columns: Axis, shared: Int) {
        val row = CHANNELS * columns.covered
        for (y in 0 until shared) fade(blended, y * row, strip, y * row, row, y, shared)
        strip.copyInto(blended, shared * row, shared * row, strip.size)
    }

    /** Writes the first rows of what is blended, which nothing will change any more, and moves the others up. */
    private fun putRows(frame: Frame, columns: Axis, top: Int, rows: Int) {
        val row = CHANNELS * columns.covered
        for (y in 0 until minOf(rows, frame.height - top)) {
            val to = CHANNELS * (top + y) * frame.width
            for (x in 0 until CHANNELS * frame.width) frame.restored[to + x] = toByte(blended[y * row + x])
        }
        blended.copyInto(blended, 0, rows * row, blended.size)
    }

    private class Frame(val image: ByteArray, val restored: ByteArray, val width: Int, val height: Int)

    /** The tiles along one axis: where they start, and the length that they cover, at least that of the frame. */
    private class Axis(length: Int, tile: Int) {
        val covered = tile + (maxOf(0, length - tile) + STEP - 1) / STEP * STEP
        val starts: List<Int>

        init {
            val stride = maxOf(1, (tile - OVERLAP) / STEP) * STEP
            val gaps = (covered - tile + stride - 1) / stride
            val units = ((covered - tile) / STEP).toLong()
            starts = (0..gaps).map { (it * units / maxOf(1, gaps)).toInt() * STEP }
        }
    }

    private companion object {
        val OVERLAP = minOf(32, ModelFacts.WIDTH / 2, ModelFacts.HEIGHT / 2)

        /** Tiles start at multiples of it, so that the network sees equal grids where they overlap. */
        val STEP = generateSequence(32) { it / 2 }.first {
            it == 1 || ModelFacts.WIDTH % it == 0 && ModelFacts.HEIGHT % it == 0 &&
                4 * it <= minOf(ModelFacts.WIDTH, ModelFacts.HEIGHT)
        }

        /** The place in 0 until [length] of which [place] is the reflection. */
        fun reflected(place: Int, length: Int): Int {
            if (length == 1) return 0
            val within = place % (2 * (length - 1))
            return if (within < length) within else 2 * (length - 1) - within
        }

        /** Fades from what is there to what comes, over [shared] places of which this is number [place]. */
        fun fade(there: FloatArray, to: Int, coming: FloatArray, from: Int, count: Int, place: Int, shared: Int) {
            val share = (place + 0.5f) / shared
            for (i in 0 until count) there[to + i] += share * (coming[from + i] - there[to + i])
        }
    }
}
