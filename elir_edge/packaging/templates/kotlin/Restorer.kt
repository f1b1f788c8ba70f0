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
    private val values = FloatArray(if (ModelFacts.INPUT_IS_FLOAT) FRAME_BYTES else 0)
    private val restored = FloatArray(if (ModelFacts.OUTPUT_IS_FLOAT) FRAME_BYTES else 0)
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
        readable(picture).getPixels(colours, 0, picture.width, 0, 0, picture.width, picture.height)
        putBytes(colours, frame)
        putColours(restore(frame), colours)
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
        run(rgb)
        if (!ModelFacts.OUTPUT_IS_FLOAT) return outputs[0].readInt8()
        takeLevels(restored)
        return ByteArray(FRAME_BYTES) { toByte(restored[it]) }
    }

    /** As [restore], for parts of a larger picture: writes the values on the scale of 0..255, not rounded, into [levels]. */
    internal fun restoreLevels(rgb: ByteArray, levels: FloatArray) {
        run(rgb)
        if (ModelFacts.OUTPUT_IS_FLOAT) {
            takeLevels(levels)
        } else {
            val bytes = outputs[0].readInt8()
            for (i in bytes.indices) levels[i] = level(bytes[i]).toFloat()
        }
    }

    override fun close() {
        (inputs + outputs).forEach(TensorBuffer::close)
@{close_flow}        model.close()
    }

    private fun run(rgb: ByteArray) {
        require(rgb.size == FRAME_BYTES) { "the frame has ${rgb.size} bytes, the model takes $FRAME_BYTES" }
        if (ModelFacts.INPUT_IS_FLOAT) {
            for (i in rgb.indices) values[i] = level(rgb[i]) / FULL_SCALE
            inputs[0].writeFloat(values)
        } else {
            inputs[0].writeInt8(rgb)
        }
        @{run}
    }

    private fun takeLevels(levels: FloatArray) {
        val values = outputs[0].readFloat()
        for (i in values.indices) {
            check(values[i].isFinite()) { "the model gave values that are not finite" }
            levels[i] = values[i] * FULL_SCALE
        }
    }

    companion object {
        /** Bytes of a frame. */
        const val FRAME_BYTES = CHANNELS * ModelFacts.WIDTH * ModelFacts.HEIGHT

        private fun options(threads: Int): CompiledModel.Options {
            require(threads >= 0) { "$threads threads" }
            return CompiledModel.Options(Accelerator.CPU).apply {
                if (threads > 0) cpuOptions = CompiledModel.CpuOptions(numThreads = threads)
            }
        }
    }
}
