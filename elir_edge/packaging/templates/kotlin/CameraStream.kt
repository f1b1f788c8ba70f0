// SPDX-License-Identifier: Apache-2.0
package @{namespace}

/**
 * Restores the frames of a stream, all of [width] x [height] pixels, and tells the milliseconds that it takes.
 *
 * From a camera to a view, with an ImageReader and an ImageWriter of the format YUV_420_888:
 *
 *     reader.acquireLatestImage()?.use { from ->
 *         val to = writer.dequeueInputImage()
 *         try {
 *             stream.restore(YuvFrame(from), YuvFrame(to))
 *         } catch (error: Exception) {
 *             to.close()
 *             throw error
 *         }
 *         writer.queueInputImage(to)
 *     }
 *
 * Nothing here makes an array of a frame's size from frame to frame; LiteRT makes one of the model's size for the result
 * of each tile. One thread at a time may use it.
 */
class CameraStream(restorer: Restorer, private val width: Int, private val height: Int) {
    private val tiles = Tiles(restorer)
    private val rgb = ByteArray(CHANNELS * width * height)
    private var restoring = 0L
    private var converting = 0L

    /** Number of frames that were restored. */
    var frames = 0
        private set

    /** Mean time of a frame's restoration, in milliseconds. */
    val restoringMillis: Double get() = restoring / NANOS / maxOf(1, frames)

    /** Mean time of a frame's conversion from YUV and back, in milliseconds. */
    val convertingMillis: Double get() = converting / NANOS / maxOf(1, frames)

    /**
     * Restores [from] into [to], which may share its planes.
     *
     * @throws IllegalArgumentException where a frame has another size than the stream.
     */
    fun restore(from: YuvFrame, to: YuvFrame) {
        for (frame in listOf(from, to)) {
            require(frame.width == width && frame.height == height) {
                "a frame of ${frame.width} x ${frame.height} pixels in a stream of $width x $height"
            }
        }
        val start = System.nanoTime()
        from.toRgb(rgb)
        val ready = System.nanoTime()
        tiles.restore(rgb, width, height, rgb)
        val restored = System.nanoTime()
        to.fromRgb(rgb)
        restoring += restored - ready
        converting += System.nanoTime() - restored + (ready - start)
        frames++
    }

    private companion object {
        const val NANOS = 1e6
    }
}
