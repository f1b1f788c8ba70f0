// SPDX-License-Identifier: Apache-2.0
package @{namespace}

import android.media.Image
import java.nio.ByteBuffer

/**
 * What levels mean, with the matrix of BT.601: 0..255 as in JPEG and most cameras, or 16..235 and 16..240 as in video.
 *
 * Numbers in 1/65536: what a level of y, u, v adds to r, g, b, and what levels of r, g, b add to y, u, v.
 */
enum class YuvRange(
    internal val black: Int,
    internal val y: Int,
    internal val rv: Int,
    internal val gu: Int,
    internal val gv: Int,
    internal val bu: Int,
    internal val toY: IntArray,
    internal val toU: IntArray,
    internal val toV: IntArray,
) {
    FULL(
        0, 65536, 91881, -22553, -46802, 116130,
        intArrayOf(19595, 38470, 7471), intArrayOf(-11058, -21710, 32768), intArrayOf(32768, -27439, -5329),
    ),
    VIDEO(
        16, 76309, 104597, -25675, -53279, 132201,
        intArrayOf(16829, 33039, 6416), intArrayOf(-9714, -19070, 28784), intArrayOf(28784, -24103, -4681),
    ),
}

/**
 * A frame of a camera or a video decoder: YUV with half as much chroma each way, in three planes.
 *
 * Each plane is what lies between position and limit of its buffer.
 *
 * @param y luma, [yStride] bytes from a row to the next.
 * @param u first chroma, (height + 1) / 2 rows of (width + 1) / 2 values.
 * @param v second chroma, laid out as the first.
 * @param chromaStride bytes from a row of chroma to the next.
 * @param chromaStep bytes from a value of chroma to the next: 1 for I420, 2 for NV12 and NV21.
 * @throws IllegalArgumentException where a plane is too short for the frame.
 */
class YuvFrame @JvmOverloads constructor(
    val width: Int,
    val height: Int,
    y: ByteBuffer,
    u: ByteBuffer,
    v: ByteBuffer,
    private val yStride: Int,
    private val chromaStride: Int,
    private val chromaStep: Int,
    private val range: YuvRange = YuvRange.FULL,
) {
    /** The planes of an image of the format YUV_420_888, as CameraX, Camera2 and MediaCodec give it. */
    @JvmOverloads
    constructor(image: Image, range: YuvRange = YuvRange.FULL) : this(
        image.width,
        image.height,
        whole(image.planes[0]),
        whole(image.planes[1]),
        whole(image.planes[2]),
        image.planes[0].rowStride,
        image.planes[1].rowStride,
        image.planes[1].pixelStride,
        range,
    )

    private val y: ByteBuffer = y.slice()
    private val u: ByteBuffer = u.slice()
    private val v: ByteBuffer = v.slice()

    init {
        require(width > 0 && height > 0) { "a frame of $width x $height pixels" }
        require(yStride >= width && y.remaining() >= yStride.toLong() * (height - 1) + width) {
            "the luma plane has ${y.remaining()} bytes, too few for $width x $height pixels with rows of $yStride"
        }
        val columns = (width + 1) / 2
        val last = chromaStride.toLong() * ((height + 1) / 2 - 1) + chromaStep.toLong() * (columns - 1)
        val (first, second) = listOf(u.remaining(), v.remaining())
        require(chromaStep > 0 && chromaStride >= chromaStep * (columns - 1) + 1 && minOf(first, second) > last) {
            "the chroma planes have $first and $second bytes, ${last + 1} are needed"
        }
    }

    /** Writes the frame into [rgb] as packed RGB888. Each chroma value is that of 4 pixels. */
    fun toRgb(rgb: ByteArray) {
        var to = 0
        for (row in 0 until height) {
            for (x in 0 until width) {
                val at = row / 2 * chromaStride + x / 2 * chromaStep
                val first = level(u[at]) - MIDDLE
                val second = level(v[at]) - MIDDLE
                val luma = (level(y[row * yStride + x]) - range.black) * range.y + HALF
                rgb[to++] = clipped(luma + range.rv * second, BITS)
                rgb[to++] = clipped(luma + range.gu * first + range.gv * second, BITS)
                rgb[to++] = clipped(luma + range.bu * first, BITS)
            }
        }
    }

    /** Writes packed RGB888 into the planes; chroma is the mean of 4 pixels. What lies between rows is left alone. */
    fun fromRgb(rgb: ByteArray) {
        for (row in 0 until height) {
            for (x in 0 until width) {
                val at = CHANNELS * (row * width + x)
                val sum = weighted(range.toY, level(rgb[at]), level(rgb[at + 1]), level(rgb[at + 2]))
                y.put(row * yStride + x, clipped(sum + (range.black shl BITS) + HALF, BITS))
            }
        }
        for (row in 0 until (height + 1) / 2) {
            for (column in 0 until (width + 1) / 2) putChroma(rgb, row, column)
        }
    }

    /** One value of each chroma plane, from 4 pixels: beyond the edges they are those at the edge. */
    private fun putChroma(rgb: ByteArray, row: Int, column: Int) {
        val upper = 2 * row * width
        val lower = minOf(2 * row + 1, height - 1) * width
        val left = 2 * column
        val right = minOf(left + 1, width - 1)
        fun sum(channel: Int): Int =
            level(rgb[CHANNELS * (upper + left) + channel]) + level(rgb[CHANNELS * (upper + right) + channel]) +
                level(rgb[CHANNELS * (lower + left) + channel]) + level(rgb[CHANNELS * (lower + right) + channel])
        val red = sum(0)
        val green = sum(1)
        val blue = sum(2)
        val at = row * chromaStride + column * chromaStep
        u.put(at, clipped(weighted(range.toU, red, green, blue) + MIDDLE_OF_FOUR, BITS + 2))
        v.put(at, clipped(weighted(range.toV, red, green, blue) + MIDDLE_OF_FOUR, BITS + 2))
    }

    private fun weighted(weights: IntArray, red: Int, green: Int, blue: Int): Int =
        weights[0] * red + weights[1] * green + weights[2] * blue

    private fun clipped(value: Int, bits: Int): Byte = (value shr bits).coerceIn(0, 255).toByte()

    private companion object {
        /** The plane from its beginning, whatever the program has read of it. */
        fun whole(plane: Image.Plane): ByteBuffer = plane.buffer.duplicate().apply { rewind() }

        const val BITS = 16
        const val HALF = 1 shl (BITS - 1)
        const val MIDDLE = 128
        const val MIDDLE_OF_FOUR = MIDDLE * 4 * (HALF * 2) + 4 * HALF
    }
}
