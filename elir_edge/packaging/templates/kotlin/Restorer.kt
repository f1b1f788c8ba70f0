// SPDX-License-Identifier: Apache-2.0
package @{namespace}

import android.content.res.AssetManager
import android.graphics.Bitmap
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.TensorBuffer

/**
 * Restores frames of [ModelFacts.WIDTH] x [ModelFacts.HEIGHT] pixels on the CPU, with LiteRT.
 *
 * Loading takes a while: do it once, away from the main thread, and close the restorer when it is no longer needed. One
 * thread at a time may use it.
 *
 * @param assets where the model is, `context.assets`.
 * @param threads CPU threads to run on; 0 leaves their number to LiteRT.
 * @throws com.google.ai.edge.litert.LiteRtException where the model cannot be loaded.
 */
class Restorer @JvmOverloads constructor(assets: AssetManager, threads: Int = 0) : AutoCloseable {
    private val model = CompiledModel.create(assets, ModelFacts.ASSET, options(threads))
    private val inputs: List<TensorBuffer> = model.createInputBuffers()
    private val outputs: List<TensorBuffer> = model.createOutputBuffers(@{last_graph})
    private val levels = FloatArray(if (ModelFacts.INPUT_IS_FLOAT) FRAME_BYTES else 0)
    private val colours = IntArray(ModelFacts.WIDTH * ModelFacts.HEIGHT)
    private val frame = ByteArray(FRAME_BYTES)
@{steps_property}
    /**
     * Restores one picture; its transparency is ignored.
     *
     * @return a new opaque ARGB_8888 bitmap of the same size.
     * @throws IllegalArgumentException where the picture is not of the model's size.
     */
    fun restore(picture: Bitmap): Bitmap {
        require(picture.width == ModelFacts.WIDTH && picture.height == ModelFacts.HEIGHT) {
            "the picture is ${picture.width} x ${picture.height}, the model takes " +
                "${ModelFacts.WIDTH} x ${ModelFacts.HEIGHT}"
        }
        picture.getPixels(colours, 0, picture.width, 0, 0, picture.width, picture.height)
        for (i in colours.indices) {
            frame[3 * i] = (colours[i] shr 16).toByte()
            frame[3 * i + 1] = (colours[i] shr 8).toByte()
            frame[3 * i + 2] = colours[i].toByte()
        }
        val restored = restore(frame)
        for (i in colours.indices) {
            colours[i] = OPAQUE or (level(restored[3 * i]) shl 16) or (level(restored[3 * i + 1]) shl 8) or
                level(restored[3 * i + 2])
        }
        return Bitmap.createBitmap(colours, picture.width, picture.height, Bitmap.Config.ARGB_8888)
    }

    /**
     * Restores one frame: packed RGB888, rows from top to bottom.
     *
     * @return a new array of the same layout.
     * @throws IllegalArgumentException where the frame has not 3 * WIDTH * HEIGHT bytes.
     * @throws IllegalStateException where the model gives values that are not finite.
     */
    fun restore(rgb: ByteArray): ByteArray {
        require(rgb.size == FRAME_BYTES) { "the frame has ${rgb.size} bytes, the model takes $FRAME_BYTES" }
        if (ModelFacts.INPUT_IS_FLOAT) {
            for (i in rgb.indices) levels[i] = level(rgb[i]) / FULL_SCALE
            inputs[0].writeFloat(levels)
        } else {
            inputs[0].writeInt8(rgb)
        }
        @{run}
        return if (ModelFacts.OUTPUT_IS_FLOAT) toBytes(outputs[0].readFloat()) else outputs[0].readInt8()
    }

    override fun close() {
        (inputs + outputs).forEach(TensorBuffer::close)
@{close_flow}        model.close()
    }

    /** Rounds halves to even, as the tools that made the golden picture do. */
    private fun toBytes(values: FloatArray): ByteArray = ByteArray(values.size) { i ->
        val level = values[i] * FULL_SCALE
        check(level.isFinite()) { "the model gave values that are not finite" }
        Math.rint(level.coerceIn(0f, FULL_SCALE).toDouble()).toInt().toByte()
    }

    private fun level(byte: Byte): Int = byte.toInt() and 0xff

    companion object {
        /** Bytes of a frame. */
        const val FRAME_BYTES = 3 * ModelFacts.WIDTH * ModelFacts.HEIGHT

        private const val FULL_SCALE = 255f
        private const val OPAQUE = 0xff shl 24

        private fun options(threads: Int): CompiledModel.Options {
            require(threads >= 0) { "$threads threads" }
            return CompiledModel.Options(Accelerator.CPU).apply {
                if (threads > 0) cpuOptions = CompiledModel.CpuOptions(numThreads = threads)
            }
        }
    }
}
