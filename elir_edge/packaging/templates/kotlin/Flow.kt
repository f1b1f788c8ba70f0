// SPDX-License-Identifier: Apache-2.0
package @{namespace}

import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.TensorBuffer

/** The three graphs of the model: before the steps, one step, after them; the step's runs as often as asked for. */
internal class Flow(private val model: CompiledModel) : AutoCloseable {
    private val place = model.createInputBuffer("place", STEP)
    private val latents = listOf(model.createInputBuffer("z", STEP), model.createOutputBuffer("z", STEP))

    /** From the image in [inputs] to the restored one in [outputs], in [steps] Euler steps. */
    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, steps: Int) {
        model.run(inputs, latents.take(1), ENCODER)
        for (step in 0 until steps) {
            // The model has the times of all steps: those of one step, then of two, of three and so on.
            place.writeInt(intArrayOf(steps * (steps - 1) / 2 + step))
            model.run(listOf(place, latents[step % 2]), listOf(latents[(step + 1) % 2]), STEP)
        }
        model.run(listOf(latents[steps % 2]), outputs, DECODER)
    }

    override fun close() {
        (latents + place).forEach(TensorBuffer::close)
    }

    companion object {
        const val ENCODER = "encoder"
        const val STEP = "step"
        const val DECODER = "decoder"
    }
}
